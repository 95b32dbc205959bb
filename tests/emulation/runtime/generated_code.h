#pragma once

// What translated code includes.
#include "runtime/operations.h"
#include "runtime/synchronisation.h"
#include "runtime/thread.h"
#include "runtime/types.h"
