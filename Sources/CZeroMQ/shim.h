#pragma once
#include <zmq.h>

// Among the draft options in the header of libzmq 4.3; every build of the library takes it.
#ifndef ZMQ_ZAP_ENFORCE_DOMAIN
#define ZMQ_ZAP_ENFORCE_DOMAIN 93
#endif
