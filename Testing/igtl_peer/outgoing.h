// Lines of text to messages of the reference library. See README.md for the lines.
#pragma once

#include <igtlMessageBase.h>

#include <istream>
#include <vector>

#include "header_v2.h"

struct Outgoing {
  igtl::MessageBase::Pointer message;
  int version = 1;
  Metadata metadata;
  bool stamp_now = false;
  bool corrupt = false;  // one bit of the body is turned after the CRC has been calculated
  int repeat = 1;
};

/// Throws std::runtime_error when a line cannot be understood.
std::vector<Outgoing> read_lines(std::istream& in);
