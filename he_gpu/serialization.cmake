# Objects to bytes and back.
target_sources(velum_he
  PUBLIC FILE_SET HEADERS BASE_DIRS include FILES
    include/velum/he/serialization.h
  PRIVATE
    src/serialization/byte_stream.cpp
    src/serialization/object_header.cpp
    src/serialization/object_io.cpp
    src/serialization/serialization.cpp)
