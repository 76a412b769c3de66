// A peer for the tests and benchmarks, on the C++ reference library. See README.md.
#include <igtlClientSocket.h>
#include <igtlServerSocket.h>
#include <igtlTimeStamp.h>

#include <algorithm>
#include <chrono>
#include <iostream>
#include <stdexcept>

#include "incoming.h"
#include "outgoing.h"

namespace {

constexpr int kWrongArguments = 2, kWrongCrc = 3, kLinkLost = 4, kUnreadable = 5;
constexpr int kTimeoutMs = 20000;
constexpr int kMaxAges = 100;  // written at the end, so that a full pipe holds nothing up
constexpr size_t kMaxBodyBytes = size_t(512) << 20;
const char kUsage[] =
    "usage: igtl_peer listen PORT | connect HOST PORT, then one of\n"
    "  send                        the messages of the lines on stdin\n"
    "  answer                      the same, each time that something comes\n"
    "  receive COUNT [FOLDER]      a line of JSON each; voxels into files of FOLDER\n"
    "  count COUNT [unchecked]     one line of JSON at the end: how long it took and how old each message was\n";

struct Failure : std::runtime_error {
  Failure(int code, const std::string& what) : std::runtime_error(what), code(code) {}
  int code;
};

using Socket = igtl::ClientSocket::Pointer;

Socket listen_at(int port) {
  auto server = igtl::ServerSocket::New();
  if (server->CreateServer(port) != 0) throw Failure(kLinkLost, "the port cannot be had");
  std::cout << "{\"port\": " << server->GetServerPort() << "}" << std::endl;
  auto socket = server->WaitForConnection(kTimeoutMs);
  if (socket.IsNull()) throw Failure(kLinkLost, "nobody has come");
  return socket;
}

Socket connect_to(const std::string& host, int port) {
  auto socket = igtl::ClientSocket::New();
  if (socket->ConnectToServer(host.c_str(), port) != 0) throw Failure(kLinkLost, "nobody listens there");
  return socket;
}

void send_bytes(Socket& socket, const void* data, size_t size) {
  if (!socket->Send(data, int(size))) throw Failure(kLinkLost, "the peer takes nothing");
}

void send_once(Socket& socket, Outgoing& outgoing) {
  if (outgoing.stamp_now) {
    auto now = igtl::TimeStamp::New();
    now->GetTime();
    outgoing.message->SetTimeStamp(now);
  }
  outgoing.message->Pack();
  auto* packed = static_cast<unsigned char*>(outgoing.message->GetPackPointer());
  const size_t size = outgoing.message->GetPackSize();
  if (outgoing.version == 1 && !outgoing.corrupt) return send_bytes(socket, packed, size);
  auto bytes = outgoing.version == 2 ? with_metadata(packed, size, outgoing.metadata) : Bytes(packed, packed + size);
  if (outgoing.corrupt) bytes[kHeaderBytes + (bytes.size() - kHeaderBytes) / 2] ^= 1;
  send_bytes(socket, bytes.data(), bytes.size());
}

void send_all(Socket& socket, std::vector<Outgoing>& messages) {
  for (auto& outgoing : messages)
    for (int i = 0; i < outgoing.repeat; ++i) send_once(socket, outgoing);
}

/// The next message whole, or nothing when the peer has closed.
Bytes receive_bytes(Socket& socket, bool check_crc = true) {
  Bytes packed(kHeaderBytes);
  const int got = socket->Receive(packed.data(), kHeaderBytes);
  if (got <= 0) return {};
  if (size_t(got) != kHeaderBytes) throw Failure(kLinkLost, "the link broke within a header");
  const size_t body_bytes = read_big_endian(packed.data() + 42, 8);
  if (body_bytes > kMaxBodyBytes) throw Failure(kUnreadable, "the body is too large");
  packed.resize(kHeaderBytes + body_bytes);
  if (body_bytes && socket->Receive(packed.data() + kHeaderBytes, int(body_bytes)) != int(body_bytes))
    throw Failure(kLinkLost, "the link broke within a body");
  if (check_crc && !crc_is_right(packed)) throw Failure(kWrongCrc, "the CRC is wrong");
  return packed;
}

/// A connection that is closed with unread bytes may lose what is still under way.
void wait_for_end(Socket& socket) {
  while (!receive_bytes(socket).empty()) {
  }
}

void receive(Socket& socket, int count, const std::string& folder) {
  for (; count > 0; --count) {
    auto packed = receive_bytes(socket);
    if (packed.empty()) throw Failure(kLinkLost, "the peer closed too early");
    Metadata metadata;
    const int version = read_big_endian(packed.data(), 2);
    if (version == 2) packed = without_metadata(packed, metadata);
    else if (version != 1) throw Failure(kUnreadable, "header version " + std::to_string(version));
    describe(packed, version, metadata, folder, std::cout);
  }
}

double age_s(const Bytes& packed) {
  constexpr int kSecondsAt = 34, kFractionAt = 38;
  auto now = igtl::TimeStamp::New();
  now->GetTime();
  const double sent = read_big_endian(&packed[kSecondsAt], 4) + read_big_endian(&packed[kFractionAt], 4) / 4294967296.0;
  return now->GetTimeStamp() - sent;
}

void count(Socket& socket, int count, bool check_crc) {
  using Clock = std::chrono::steady_clock;
  Clock::time_point start;
  std::vector<double> ages_s;
  for (int i = 0; i < count; ++i) {
    const auto packed = receive_bytes(socket, check_crc);
    if (packed.empty()) throw Failure(kLinkLost, "the peer closed too early");
    if (i == 0) start = Clock::now();
    ages_s.push_back(age_s(packed));
  }
  const std::chrono::duration<double> duration = Clock::now() - start;
  std::cout << "{\"seconds\": " << duration.count() << ", \"ages_s\": [";
  for (int i = 0; i < std::min(count, kMaxAges); ++i) std::cout << (i ? ", " : "") << ages_s[i];
  std::cout << "]}" << std::endl;
}

void answer(Socket& socket, std::vector<Outgoing>& messages) {
  while (!receive_bytes(socket).empty()) send_all(socket, messages);
}

void act(Socket& socket, const std::vector<std::string>& words, std::vector<Outgoing>& messages) {
  const std::string& action = words[0];
  socket->SetTimeout(kTimeoutMs);
  if (action == "send") send_all(socket, messages), wait_for_end(socket);
  else if (action == "answer") answer(socket, messages);
  else if (action == "receive") receive(socket, std::stoi(words.at(1)), words.size() > 2 ? words[2] : "");
  else count(socket, std::stoi(words.at(1)), words.size() < 3);
  socket->CloseSocket();
}

void run(const std::vector<std::string>& words) {
  const size_t action_at = words.at(0) == "listen" ? 2 : 3;
  const std::vector<std::string> action(words.begin() + std::min(action_at, words.size()), words.end());
  const std::string& what = action.at(0);
  const bool sends = what == "send" || what == "answer";
  if (!sends && what != "receive" && what != "count") throw std::invalid_argument(what);
  auto messages = sends ? read_lines(std::cin) : std::vector<Outgoing>();
  auto socket = words[0] == "listen" ? listen_at(std::stoi(words.at(1))) : connect_to(words.at(1), std::stoi(words.at(2)));
  act(socket, action, messages);
}

}  // namespace

int main(int argc, char** argv) {
  try {
    run({argv + 1, argv + argc});
    return 0;
  } catch (const Failure& failure) {
    std::cerr << "igtl_peer: " << failure.what() << std::endl;
    return failure.code;
  } catch (const std::logic_error&) {
    std::cerr << kUsage;
    return kWrongArguments;
  } catch (const std::exception& error) {
    std::cerr << "igtl_peer: " << error.what() << std::endl;
    return kUnreadable;
  }
}
