#pragma once
// Linux calls that Swift cannot import, each with its reason.

// Takes disk space for the first `bytes` bytes of a file without changing its size. Returns 0, or -1 with errno.
int system_reserve(int descriptor, long long bytes);
