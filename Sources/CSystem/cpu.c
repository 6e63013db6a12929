#include "CPUFeatures.h"

#if defined(__x86_64__)
bool pleura_cpu_has_x86_64_v3(void) {
    __builtin_cpu_init();
    return __builtin_cpu_supports("x86-64-v3");
}

bool pleura_cpu_has_x86_64_v4(void) {
    __builtin_cpu_init();
    return __builtin_cpu_supports("x86-64-v4");
}

bool pleura_cpu_has_avx512_bf16(void) {
    __builtin_cpu_init();
    return __builtin_cpu_supports("avx512bf16");
}
#else
bool pleura_cpu_has_x86_64_v3(void) { return false; }
bool pleura_cpu_has_x86_64_v4(void) { return false; }
bool pleura_cpu_has_avx512_bf16(void) { return false; }
#endif
