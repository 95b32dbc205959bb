# Keys that several hold together.
target_sources(velum_he
  PUBLIC FILE_SET HEADERS BASE_DIRS include FILES
    include/velum/he/threshold/combine.h
    include/velum/he/threshold/group.h
    include/velum/he/threshold/messages.h
    include/velum/he/threshold/once_register.h
    include/velum/he/threshold/party.h
    include/velum/he/threshold/serialization.h
    include/velum/he/threshold/shamir.h
    include/velum/he/threshold/smudging.h
  PRIVATE
    src/threshold/combine.cpp
    src/threshold/decryption.cpp
    src/threshold/group.cpp
    src/threshold/once_register.cpp
    src/threshold/party.cpp
    src/threshold/serialization.cpp
    src/threshold/shamir.cpp
    src/threshold/smudging.cpp
    src/threshold/transcript.cpp)
