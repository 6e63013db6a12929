#pragma once
// Linux calls that Swift cannot import, each with its reason.
#include "CPUFeatures.h"
