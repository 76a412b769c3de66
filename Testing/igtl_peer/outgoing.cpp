#include "outgoing.h"

#include <igtlImageMessage.h>
#include <igtlPointMessage.h>
#include <igtlPolyDataMessage.h>
#include <igtlPositionMessage.h>
#include <igtlQuaternionTrackingDataMessage.h>
#include <igtlStatusMessage.h>
#include <igtlStringMessage.h>
#include <igtlTrackingDataMessage.h>
#include <igtlTransformMessage.h>
#include <igtl_util.h>

#include <algorithm>
#include <cmath>
#include <iomanip>
#include <sstream>
#include <stdexcept>

namespace {

template <class T>
T next(std::istream& in) {
  T value;
  if (!(in >> value)) throw std::runtime_error("a number or word is missing");
  return value;
}

std::string next_text(std::istream& in) {
  std::string value;
  if (!(in >> std::quoted(value))) throw std::runtime_error("a text is missing");
  return value;
}

// The pattern of the voxels; the tests calculate the same. Each bit of it depends on the place of the voxel.
uint32_t pattern(uint32_t n) { return n * 2654435761u + 12345u; }

template <class T>
T voxel(uint32_t n) {
  if constexpr (std::is_floating_point_v<T>) return (T(pattern(n) >> 8) - T(1 << 23)) / T(256);
  else return T(pattern(n) >> (32 - 8 * sizeof(T)));
}

template <class T>
void fill(void* scalars, size_t count, bool swap) {
  auto* out = static_cast<unsigned char*>(scalars);
  for (size_t n = 0; n < count; ++n, out += sizeof(T)) {
    const T value = voxel<T>(n);
    std::copy_n(reinterpret_cast<const unsigned char*>(&value), sizeof(T), out);
    if (swap) std::reverse(out, out + sizeof(T));
  }
}

void fill(int type, void* scalars, size_t count, bool swap) {
  switch (type) {
    case igtl::ImageMessage::TYPE_INT8: return fill<int8_t>(scalars, count, swap);
    case igtl::ImageMessage::TYPE_UINT8: return fill<uint8_t>(scalars, count, swap);
    case igtl::ImageMessage::TYPE_INT16: return fill<int16_t>(scalars, count, swap);
    case igtl::ImageMessage::TYPE_UINT16: return fill<uint16_t>(scalars, count, swap);
    case igtl::ImageMessage::TYPE_INT32: return fill<int32_t>(scalars, count, swap);
    case igtl::ImageMessage::TYPE_UINT32: return fill<uint32_t>(scalars, count, swap);
    case igtl::ImageMessage::TYPE_FLOAT32: return fill<float>(scalars, count, swap);
    case igtl::ImageMessage::TYPE_FLOAT64: return fill<double>(scalars, count, swap);
    default: throw std::runtime_error("no such scalar type");
  }
}

// Twelve numbers, row by row: voxel indices to mm, the last column the middle of voxel (0, 0, 0). The library wants
// axes of length 1, the spacing apart from them, and the middle of the image.
void place(std::istream& in, igtl::ImageMessage& image, const int size[3]) {
  float m[3][4], spacing[3];
  for (auto& row : m)
    for (float& value : row) value = next<float>(in);
  igtl::Matrix4x4 matrix;
  igtl::IdentityMatrix(matrix);
  for (int c = 0; c < 3; ++c) spacing[c] = std::sqrt(m[0][c] * m[0][c] + m[1][c] * m[1][c] + m[2][c] * m[2][c]);
  for (int r = 0; r < 3; ++r) {
    matrix[r][3] = m[r][3];
    for (int c = 0; c < 3; ++c) {
      matrix[r][c] = m[r][c] / spacing[c];
      matrix[r][3] += m[r][c] * (size[c] - 1) / 2;
    }
  }
  image.SetSpacing(spacing);
  image.SetMatrix(matrix);
}

// image NAME SECONDS FRACTION TYPE COMPONENTS ENDIAN COORDINATES I J K, twelve numbers
igtl::MessageBase::Pointer read_image(std::istream& in) {
  auto image = igtl::ImageMessage::New();
  const int type = next<int>(in), components = next<int>(in), endian = next<int>(in), coordinates = next<int>(in);
  int size[3], offset[3] = {0, 0, 0};
  for (int& n : size) n = next<int>(in);
  image->SetDimensions(size);
  image->SetSubVolume(size, offset);
  image->SetScalarType(type);
  image->SetNumComponents(components);
  image->SetEndian(endian);
  image->SetCoordinateSystem(coordinates);
  place(in, *image, size);
  image->AllocateScalars();
  const int native = igtl_is_little_endian() ? igtl::ImageMessage::ENDIAN_LITTLE : igtl::ImageMessage::ENDIAN_BIG;
  const size_t count = size_t(size[0]) * size[1] * size[2] * components;
  fill(type, image->GetScalarPointer(), count, endian != native);
  return image.GetPointer();
}

void read_matrix(std::istream& in, igtl::Matrix4x4& matrix) {
  igtl::IdentityMatrix(matrix);
  for (int r = 0; r < 3; ++r)
    for (int c = 0; c < 4; ++c) matrix[r][c] = next<float>(in);
}

// transform NAME SECONDS FRACTION, twelve numbers row by row
igtl::MessageBase::Pointer read_transform(std::istream& in) {
  auto transform = igtl::TransformMessage::New();
  igtl::Matrix4x4 matrix;
  read_matrix(in, matrix);
  transform->SetMatrix(matrix);
  return transform.GetPointer();
}

// tdata NAME SECONDS FRACTION COUNT, then for each "NAME" TYPE and twelve numbers row by row
igtl::MessageBase::Pointer read_tracking(std::istream& in) {
  auto message = igtl::TrackingDataMessage::New();
  for (int count = next<int>(in); count > 0; --count) {
    auto tool = igtl::TrackingDataElement::New();
    tool->SetName(next_text(in).c_str());
    tool->SetType(next<int>(in));
    igtl::Matrix4x4 matrix;
    read_matrix(in, matrix);
    tool->SetMatrix(matrix);
    message->AddTrackingDataElement(tool);
  }
  return message.GetPointer();
}

// The library makes the quaternion of a matrix, so that its order and signs are not ours.
void read_pose(std::istream& in, float position[3], float quaternion[4]) {
  igtl::Matrix4x4 matrix;
  read_matrix(in, matrix);
  for (int r = 0; r < 3; ++r) position[r] = matrix[r][3];
  igtl::MatrixToQuaternion(matrix, quaternion);
}

// qtdata NAME SECONDS FRACTION COUNT, then for each "NAME" TYPE and twelve numbers row by row
igtl::MessageBase::Pointer read_quaternion_tracking(std::istream& in) {
  auto message = igtl::QuaternionTrackingDataMessage::New();
  for (int count = next<int>(in); count > 0; --count) {
    auto tool = igtl::QuaternionTrackingDataElement::New();
    tool->SetName(next_text(in).c_str());
    tool->SetType(next<int>(in));
    float position[3], quaternion[4];
    read_pose(in, position, quaternion);
    tool->SetPosition(position);
    tool->SetQuaternion(quaternion);
    message->AddQuaternionTrackingDataElement(tool);
  }
  return message.GetPointer();
}

// position NAME SECONDS FRACTION BYTES, twelve numbers row by row; BYTES is 12, 24 or 28
igtl::MessageBase::Pointer read_position(std::istream& in) {
  auto message = igtl::PositionMessage::New();
  const int bytes = next<int>(in);
  message->SetPackType(bytes == 12   ? igtl::PositionMessage::POSITION_ONLY
                       : bytes == 24 ? igtl::PositionMessage::WITH_QUATERNION3
                                     : igtl::PositionMessage::ALL);
  float position[3], quaternion[4];
  read_pose(in, position, quaternion);
  message->SetPosition(position);
  message->SetQuaternion(quaternion);
  return message.GetPointer();
}

// string NAME SECONDS FRACTION ENCODING "TEXT"
igtl::MessageBase::Pointer read_string(std::istream& in) {
  auto message = igtl::StringMessage::New();
  message->SetEncoding(next<int>(in));
  message->SetString(next_text(in).c_str());
  return message.GetPointer();
}

// status NAME SECONDS FRACTION CODE SUBCODE "ERROR NAME" "TEXT"
igtl::MessageBase::Pointer read_status(std::istream& in) {
  auto message = igtl::StatusMessage::New();
  message->SetCode(next<int>(in));
  message->SetSubCode(next<long long>(in));
  message->SetErrorName(next_text(in).c_str());
  message->SetStatusString(next_text(in).c_str());
  return message.GetPointer();
}

// point NAME SECONDS FRACTION COUNT, then for each "NAME" "GROUP" R G B A X Y Z DIAMETER "OWNER"
igtl::MessageBase::Pointer read_points(std::istream& in) {
  auto message = igtl::PointMessage::New();
  for (int count = next<int>(in); count > 0; --count) {
    auto point = igtl::PointElement::New();
    point->SetName(next_text(in).c_str());
    point->SetGroupName(next_text(in).c_str());
    igtlUint8 rgba[4];
    for (igtlUint8& value : rgba) value = next<int>(in);
    point->SetRGBA(rgba);
    float position[3];
    for (float& value : position) value = next<float>(in);
    point->SetPosition(position);
    point->SetRadius(next<float>(in));
    point->SetOwner(next_text(in).c_str());
    message->AddPointElement(point);
  }
  return message.GetPointer();
}

igtl::PolyDataCellArray::Pointer read_cells(std::istream& in) {
  auto cells = igtl::PolyDataCellArray::New();
  for (int count = next<int>(in); count > 0; --count) {
    std::list<igtlUint32> cell;
    for (int corners = next<int>(in); corners > 0; --corners) cell.push_back(next<igtlUint32>(in));
    cells->AddCell(cell);
  }
  return cells;
}

igtl::PolyDataAttribute::Pointer read_scalars(std::istream& in) {
  auto attribute = igtl::PolyDataAttribute::New();
  attribute->SetType(igtl::PolyDataAttribute::POINT_SCALAR, 1);
  attribute->SetName(next_text(in).c_str());
  attribute->SetSize(next<int>(in));
  for (igtlUint32 n = 0; n < attribute->GetSize(); ++n) {
    float value = next<float>(in);
    attribute->SetNthData(n, &value);
  }
  return attribute;
}

// polydata NAME SECONDS FRACTION COUNT, coordinates, then any of
//   vertices|lines|polygons|strips COUNT, for each CORNERS and the indices;  scalars "NAME" COUNT, values
igtl::MessageBase::Pointer read_polydata(std::istream& in) {
  auto message = igtl::PolyDataMessage::New();
  auto points = igtl::PolyDataPointArray::New();
  for (int count = next<int>(in); count > 0; --count) {
    float xyz[3];
    for (float& value : xyz) value = next<float>(in);
    points->AddPoint(xyz);
  }
  message->SetPoints(points);
  for (std::string what; in >> what;) {
    if (what == "vertices") message->SetVertices(read_cells(in));
    else if (what == "lines") message->SetLines(read_cells(in));
    else if (what == "polygons") message->SetPolygons(read_cells(in));
    else if (what == "strips") message->SetTriangleStrips(read_cells(in));
    else if (what == "scalars") message->AddAttribute(read_scalars(in));
    else throw std::runtime_error("no such part of a surface: " + what);
  }
  return message.GetPointer();
}

igtl::MessageBase::Pointer read_content(const std::string& kind, std::istream& in) {
  if (kind == "image") return read_image(in);
  if (kind == "transform") return read_transform(in);
  if (kind == "tdata") return read_tracking(in);
  if (kind == "qtdata") return read_quaternion_tracking(in);
  if (kind == "position") return read_position(in);
  if (kind == "string") return read_string(in);
  if (kind == "status") return read_status(in);
  if (kind == "point") return read_points(in);
  if (kind == "polydata") return read_polydata(in);
  throw std::runtime_error("no such kind of line: " + kind);
}

Outgoing read_message(const std::string& kind, std::istream& in, Outgoing outgoing) {
  const auto name = next_text(in), seconds = next<std::string>(in);
  const auto fraction = next<unsigned>(in);
  outgoing.message = read_content(kind, in);
  outgoing.message->SetDeviceName(name.c_str());
  outgoing.stamp_now = seconds == "now";
  if (!outgoing.stamp_now) outgoing.message->SetTimeStamp(std::stoul(seconds), fraction);
  return outgoing;
}

}  // namespace

std::vector<Outgoing> read_lines(std::istream& in) {
  std::vector<Outgoing> messages;
  Outgoing ahead;  // what the lines before a message say of it
  for (std::string line; std::getline(in, line);) {
    std::istringstream words(line);
    const auto kind = next<std::string>(words);
    if (kind == "v2") {
      ahead.version = 2;
      for (int count = next<int>(words); count > 0; --count) {
        const auto key = next_text(words);
        ahead.metadata.emplace_back(key, next_text(words));
      }
    } else if (kind == "corrupt") {
      ahead.corrupt = true;
    } else if (kind == "repeat") {
      ahead.repeat = next<int>(words);
    } else {
      messages.push_back(read_message(kind, words, ahead));
      ahead = Outgoing();
    }
  }
  return messages;
}
