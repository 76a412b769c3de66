#include "incoming.h"

#include <igtlImageMessage.h>
#include <igtlMessageHeader.h>
#include <igtlPointMessage.h>
#include <igtlPolyDataMessage.h>
#include <igtlStatusMessage.h>
#include <igtlStringMessage.h>
#include <igtlTimeStamp.h>
#include <igtlTransformMessage.h>

#include <cstdio>
#include <cstring>
#include <fstream>
#include <stdexcept>

namespace {

// Bytes beyond ASCII as code points of the same number, so that each line is ASCII whatever was sent.
std::string quoted(const std::string& text) {
  std::string json = "\"";
  for (unsigned char c : text) {
    char escaped[8];
    if (c >= 32 && c < 127 && c != '"' && c != '\\') {
      json += c;
    } else {
      std::snprintf(escaped, sizeof(escaped), "\\u%04x", c);
      json += escaped;
    }
  }
  return json + "\"";
}

std::string number(double value) {
  char text[32];
  std::snprintf(text, sizeof(text), "%.9g", value);
  return text;
}

template <class T>
std::string list(const T* values, int count) {
  std::string json = "[";
  for (int i = 0; i < count; ++i) json += (i ? ", " : "") + number(values[i]);
  return json + "]";
}

std::string rows(igtl::Matrix4x4& matrix) {
  return "[" + list(matrix[0], 4) + ", " + list(matrix[1], 4) + ", " + list(matrix[2], 4) + "]";
}

// As they stand in the body, before the library parts them into axes and spacing.
std::string wire_numbers(const unsigned char* body) {
  constexpr int kMatrixAt = 12, kNumbers = 12;
  float values[kNumbers];
  for (int i = 0; i < kNumbers; ++i) {
    const uint32_t bits = read_big_endian(body + kMatrixAt + 4 * i, 4);
    std::memcpy(&values[i], &bits, sizeof(bits));
  }
  return list(values, kNumbers);
}

std::string voxels(igtl::ImageMessage& image, const std::string& folder) {
  if (folder.empty()) return "null";
  static int count = 0;
  const std::string path = folder + "/voxels-" + std::to_string(count++) + ".raw";
  std::ofstream(path, std::ios::binary).write(static_cast<char*>(image.GetScalarPointer()), image.GetImageSize());
  return quoted(path);
}

void describe_image(igtl::ImageMessage& image, const std::string& wire, const std::string& folder, std::ostream& out) {
  int size[3];
  float spacing[3];
  igtl::Matrix4x4 matrix;
  image.GetDimensions(size);
  image.GetSpacing(spacing);
  image.GetMatrix(matrix);
  out << ", \"scalar_type\": " << image.GetScalarType() << ", \"components\": " << image.GetNumComponents()
      << ", \"endian\": " << image.GetEndian() << ", \"coordinates\": " << image.GetCoordinateSystem()
      << ", \"size\": " << list(size, 3) << ", \"spacing\": " << list(spacing, 3) << ", \"matrix\": " << rows(matrix)
      << ", \"wire\": " << wire << ", \"voxels\": " << voxels(image, folder);
}

void describe_transform(igtl::TransformMessage& transform, std::ostream& out) {
  igtl::Matrix4x4 matrix;
  transform.GetMatrix(matrix);
  out << ", \"matrix\": " << rows(matrix);
}

void describe_points(igtl::PointMessage& message, std::ostream& out) {
  out << ", \"points\": [";
  for (int i = 0; i < message.GetNumberOfPointElement(); ++i) {
    igtl::PointElement::Pointer point;
    message.GetPointElement(i, point);
    igtlUint8 rgba[4];
    float position[3];
    point->GetRGBA(rgba);
    point->GetPosition(position);
    out << (i ? ", " : "") << "{\"name\": " << quoted(point->GetName())
        << ", \"group\": " << quoted(point->GetGroupName()) << ", \"rgba\": " << list(rgba, 4)
        << ", \"position\": " << list(position, 3) << ", \"diameter\": " << number(point->GetRadius())
        << ", \"owner\": " << quoted(point->GetOwner()) << "}";
  }
  out << "]";
}

std::string cells(igtl::PolyDataCellArray::Pointer array) {
  std::string json = "[";
  for (unsigned i = 0; array.IsNotNull() && i < array->GetNumberOfCells(); ++i) {
    std::vector<igtlUint32> cell(array->GetCellSize(i));
    array->GetCell(i, cell.data());
    json += (i ? ", " : "") + list(cell.data(), cell.size());
  }
  return json + "]";
}

void describe_polydata(igtl::PolyDataMessage& message, std::ostream& out) {
  auto* points = message.GetPoints();
  const int count = points ? points->GetNumberOfPoints() : 0;
  out << ", \"points\": [";
  for (int i = 0; i < count; ++i) {
    igtlFloat32 xyz[3];
    points->GetPoint(i, xyz);
    out << (i ? ", " : "") << list(xyz, 3);
  }
  out << "], \"vertices\": " << cells(message.GetVertices()) << ", \"lines\": " << cells(message.GetLines())
      << ", \"polygons\": " << cells(message.GetPolygons()) << ", \"strips\": " << cells(message.GetTriangleStrips())
      << ", \"attributes\": " << message.GetNumberOfAttributes();
}

template <class T>
typename T::Pointer unpacked(igtl::MessageHeader::Pointer header, const Bytes& packed) {
  auto message = T::New();
  message->SetMessageHeader(header);
  message->AllocatePack();
  std::memcpy(message->GetPackBodyPointer(), packed.data() + kHeaderBytes, packed.size() - kHeaderBytes);
  if (!(message->Unpack(1) & igtl::MessageHeader::UNPACK_BODY)) throw std::runtime_error("the CRC is wrong");
  return message;
}

void describe_content(igtl::MessageHeader::Pointer header, const Bytes& packed, const std::string& folder,
                      std::ostream& out) {
  const std::string type = header->GetDeviceType();
  if (type == "IMAGE") {
    const std::string wire = wire_numbers(packed.data() + kHeaderBytes);
    describe_image(*unpacked<igtl::ImageMessage>(header, packed), wire, folder, out);
  } else if (type == "TRANSFORM") {
    describe_transform(*unpacked<igtl::TransformMessage>(header, packed), out);
  } else if (type == "STRING") {
    auto message = unpacked<igtl::StringMessage>(header, packed);
    out << ", \"encoding\": " << message->GetEncoding() << ", \"text\": " << quoted(message->GetString());
  } else if (type == "STATUS") {
    auto message = unpacked<igtl::StatusMessage>(header, packed);
    out << ", \"code\": " << message->GetCode() << ", \"subcode\": " << message->GetSubCode() << ", \"error_name\": "
        << quoted(message->GetErrorName()) << ", \"text\": " << quoted(message->GetStatusString());
  } else if (type == "POINT") {
    describe_points(*unpacked<igtl::PointMessage>(header, packed), out);
  } else if (type == "POLYDATA") {
    describe_polydata(*unpacked<igtl::PolyDataMessage>(header, packed), out);
  }
}

std::string object(const Metadata& metadata) {
  std::string json = "{";
  for (const auto& [key, value] : metadata)
    json += (json.size() > 1 ? ", " : "") + quoted(key) + ": " + quoted(value);
  return json + "}";
}

}  // namespace

void describe(const Bytes& packed, int version, const Metadata& metadata, const std::string& dump_folder,
              std::ostream& out) {
  auto header = igtl::MessageHeader::New();
  header->InitPack();
  std::memcpy(header->GetPackPointer(), packed.data(), kHeaderBytes);
  header->Unpack();
  unsigned seconds, fraction;
  header->GetTimeStamp(&seconds, &fraction);
  auto now = igtl::TimeStamp::New();
  out << "{\"type\": " << quoted(header->GetDeviceType()) << ", \"device\": " << quoted(header->GetDeviceName())
      << ", \"version\": " << version << ", \"seconds\": " << seconds << ", \"fraction\": " << fraction
      << ", \"metadata\": " << object(metadata);
  describe_content(header, packed, dump_folder, out);
  now->GetTime();
  out << ", \"age_s\": " << number(now->GetTimeStamp() - seconds - fraction / 4294967296.0) << "}" << std::endl;
}
