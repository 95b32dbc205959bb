#pragma once

// What translated code includes.
#include "runtime/approximations.h"
#include "runtime/flushed_arithmetic.h"
#include "runtime/half.h"
#include "runtime/matrix.h"
#include "runtime/operations.h"
#include "runtime/synchronisation.h"
#include "runtime/thread.h"
#include "runtime/types.h"
