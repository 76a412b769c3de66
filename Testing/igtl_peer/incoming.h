// Messages that the reference library has read, as lines of JSON.
#pragma once

#include <ostream>
#include <string>

#include "header_v2.h"

/// Reads a message of version 1 with the library and writes what the library says of it.
/// Voxels go into a file of `dump_folder`, if that is given.
/// Throws std::runtime_error when the library finds the CRC wrong.
void describe(const Bytes& packed, int version, const Metadata& metadata, const std::string& dump_folder,
              std::ostream& out);
