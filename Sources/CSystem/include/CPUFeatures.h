#pragma once
#include <stdbool.h>

// CPUID with the operating system's consent (XGETBV), which Swift cannot ask for.

/// Whether this process may run code compiled for x86-64-v3: AVX2, FMA, BMI2, F16C.
bool pleura_cpu_has_x86_64_v3(void);

/// Whether this process may run code compiled for x86-64-v4: v3 with AVX-512 F, BW, CD, DQ and VL.
bool pleura_cpu_has_x86_64_v4(void);

/// Whether this process may run AVX512_BF16.
bool pleura_cpu_has_avx512_bf16(void);
