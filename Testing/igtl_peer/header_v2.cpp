#include "header_v2.h"

#include <igtl_util.h>

#include <stdexcept>

namespace {

constexpr int kVersionAt = 0, kBodySizeAt = 42, kCrcAt = 50;
constexpr size_t kExtendedBytes = 12, kEntryBytes = 8;
constexpr int kAscii = 3, kUtf8 = 106;  // MIBenum of IANA

void append(Bytes& to, uint64_t value, int bytes) {
  for (int shift = 8 * (bytes - 1); shift >= 0; shift -= 8) to.push_back((value >> shift) & 0xff);
}

void write(Bytes& to, size_t at, uint64_t value, int bytes) {
  for (int i = 0; i < bytes; ++i) to[at + i] = (value >> 8 * (bytes - 1 - i)) & 0xff;
}

uint64_t crc_of_body(const Bytes& packed) {
  auto* body = const_cast<unsigned char*>(packed.data()) + kHeaderBytes;
  return crc64(body, packed.size() - kHeaderBytes, 0);
}

void finish(Bytes& packed, int version) {
  write(packed, kVersionAt, version, 2);
  write(packed, kBodySizeAt, packed.size() - kHeaderBytes, 8);
  write(packed, kCrcAt, crc_of_body(packed), 8);
}

bool is_ascii(const std::string& text) {
  for (unsigned char c : text)
    if (c > 127) return false;
  return true;
}

}  // namespace

uint64_t read_big_endian(const unsigned char* data, int bytes) {
  uint64_t value = 0;
  for (int i = 0; i < bytes; ++i) value = value << 8 | data[i];
  return value;
}

Bytes with_metadata(const unsigned char* packed, size_t size, const Metadata& metadata) {
  Bytes index, strings;
  append(index, metadata.size(), 2);
  for (const auto& [key, value] : metadata) {
    append(index, key.size(), 2);
    append(index, is_ascii(value) ? kAscii : kUtf8, 2);
    append(index, value.size(), 4);
    strings.insert(strings.end(), key.begin(), key.end());
    strings.insert(strings.end(), value.begin(), value.end());
  }
  Bytes message(packed, packed + kHeaderBytes);
  append(message, kExtendedBytes, 2);
  append(message, index.size(), 2);
  append(message, strings.size(), 4);
  append(message, 0, 4);  // message id
  message.insert(message.end(), packed + kHeaderBytes, packed + size);
  message.insert(message.end(), index.begin(), index.end());
  message.insert(message.end(), strings.begin(), strings.end());
  finish(message, 2);
  return message;
}

Bytes without_metadata(const Bytes& packed, Metadata& metadata) {
  const unsigned char* body = packed.data() + kHeaderBytes;
  const size_t body_bytes = packed.size() - kHeaderBytes;
  if (body_bytes < kExtendedBytes) throw std::runtime_error("no extended header");
  const size_t extended = read_big_endian(body, 2), index = read_big_endian(body + 2, 2);
  const size_t strings = read_big_endian(body + 4, 4);
  if (extended + index + strings > body_bytes) throw std::runtime_error("metadata exceeds the body");
  const size_t end = body_bytes - index - strings;
  const size_t count = index < 2 ? 0 : read_big_endian(body + end, 2);
  if (index != (count ? 2 + kEntryBytes * count : index)) throw std::runtime_error("metadata index has a wrong size");
  const unsigned char* at = body + end + index;
  for (size_t i = 0; i < count; ++i) {
    const unsigned char* entry = body + end + 2 + kEntryBytes * i;
    const size_t key = read_big_endian(entry, 2), value = read_big_endian(entry + 4, 4);
    if (key + value > size_t(body + body_bytes - at)) throw std::runtime_error("metadata exceeds the body");
    metadata.emplace_back(std::string(at, at + key), std::string(at + key, at + key + value));
    at += key + value;
  }
  Bytes message(packed.begin(), packed.begin() + kHeaderBytes);
  message.insert(message.end(), body + extended, body + end);
  finish(message, 1);
  return message;
}

bool crc_is_right(const Bytes& packed) { return crc_of_body(packed) == read_big_endian(packed.data() + kCrcAt, 8); }
