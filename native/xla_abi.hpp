// The part of the C ABI of XLA's foreign functions (FFI) that two handlers on the host need, so that the build needs
// no headers of jaxlib.
//
// Written for API version 0.3 (jax 0.10); the members below have the same place in every version 0.x. XLA promises that
// a new minor version only adds members behind the others. Each struct that XLA hands over begins with its size, and
// a handler looks at the size before it reads the members.
#pragma once

#include <cstddef>
#include <cstdint>

namespace focal::xla {

struct Error;  // made by XLA, and owned by XLA after it is returned
struct Context;

// The beginning of every struct: its size as XLA knows it, and a list of extensions.
struct Extension;
struct Header {
  size_t size;
  Extension* extensions;
};

struct Version {
  Header header;
  int major, minor;
};

struct ErrorArguments {
  Header header;
  const char* message;
  int code;
};
constexpr int invalid_argument = 3;

struct Api {
  Header header;
  Version version;
  const void* internal;
  Error* (*create_error)(ErrorArguments*);
  // more functions follow
};

// The numbers are those of XLA's PrimitiveType.
enum class Type : int {
  boolean = 1, i8 = 2, i16 = 3, i32 = 4, i64 = 5, u8 = 6, f16 = 10, f32 = 11, f64 = 12, bf16 = 16
};

// An array in C order.
struct Buffer {
  Header header;
  Type type;
  void* data;
  int64_t rank;
  const int64_t* dims;
};

// Arguments and results are laid out alike. A kind of 1 is a Buffer.
struct Buffers {
  Header header;
  int64_t count;
  const int* kinds;
  void** items;
};
constexpr int buffer_kind = 1;

struct Name {
  const char* start;
  size_t length;
};

struct Scalar {
  Type type;
  const void* value;
};

struct Attributes {
  Header header;
  int64_t count;
  const int* kinds;
  Name** names;
  void** items;
};
constexpr int scalar_kind = 3;

struct CallFrame {
  Header header;
  const Api* api;
  Context* context;
  int stage;
  Buffers arguments, results;
  Attributes attributes;
};

// XLA queries a handler before calling it, by a frame with this extension, which the handler fills.
struct Extension {
  size_t size;
  int kind;
  Extension* next;
};
constexpr int metadata_kind = 1;

struct Metadata {
  size_t size;
  Version version;
  uint32_t traits;
  // the type of a handler's state follows; ours have none
};

struct MetadataExtension {
  Extension base;
  Metadata* metadata;
};

using Handler = Error*(CallFrame*);

// The least size of a struct of XLA's that holds every member read here.
constexpr size_t frame_size = sizeof(CallFrame), buffer_size = sizeof(Buffer);
constexpr size_t metadata_size = offsetof(Metadata, traits) + sizeof(uint32_t);

}  // namespace focal::xla
