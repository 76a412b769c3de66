// Header version 2 with metadata. OURS, NOT THE REFERENCE LIBRARY'S: the library of version 1.11 knows version 1 only.
//
// Written from the public specification (OpenIGTLink, Documents/Protocol/header.md). Of the library it uses the CRC,
// and the content between extended header and metadata is packed and read by the library all the same.
#pragma once

#include <cstdint>
#include <string>
#include <utility>
#include <vector>

using Bytes = std::vector<unsigned char>;
using Metadata = std::vector<std::pair<std::string, std::string>>;

constexpr size_t kHeaderBytes = 58;

uint64_t read_big_endian(const unsigned char* data, int bytes);

/// A message of version 1, as the library packs it, turned into one of version 2.
Bytes with_metadata(const unsigned char* packed, size_t size, const Metadata& metadata);

/// A message of version 2 turned into one of version 1 that the library reads. Its CRC has to be checked before.
/// Throws std::runtime_error when its sizes disagree.
Bytes without_metadata(const Bytes& packed, Metadata& metadata);

bool crc_is_right(const Bytes& packed);
