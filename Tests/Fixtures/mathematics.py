"""Values of Mathematics and ScalarMath to 60 digits and more: writes mathematics.json beside this script. Needs mpmath.

Each row has the arguments, exactly, and the true value as two doubles, high and low, whose sum is the value rounded at
about 2^-106 of it: high is the value correctly rounded, so that the error of any other double is known in units of its
last place to many digits. All numbers are the hexadecimal bit patterns of doubles. A value beyond the largest double is
an infinity, with low 0; one below the smallest is high 0 and low 0, where the true value is not 0 too.

Arguments: the edges of what a double holds, the points where an implementation changes its path (the ends of the
reduced ranges, square roots of two, multiples of pi/2), the doubles next to them, and a spread of ordinary ones.
Arguments of ScalarMath are floats. `python mathematics.py` made the committed table with mpmath 1.3.0.
"""

import json
import math
import os
import random
import struct

import mpmath
from mpmath import mp, mpf

mp.prec = 400
here = os.path.dirname(os.path.abspath(__file__))
rng = random.Random(20240607)


def bits(x):
    return struct.pack(">d", x).hex()


def nearest(x):
    """The double nearest to x, ties to even, also among the subnormal ones."""
    if x == 0 or mpmath.isinf(x):
        return float(x)
    exponent = max(int(mpmath.floor(mpmath.log(abs(x), 2))), -1022)
    unit = mpf(2) ** (exponent - 52)
    quotient = x / unit
    whole = mpmath.floor(quotient)
    rest = quotient - whole
    if rest > 0.5 or (rest == 0.5 and int(whole) % 2 == 1):
        whole += 1
    value = whole * unit
    return math.copysign(math.inf, value) if abs(value) >= mpf(2) ** 1024 else float(value)


def row(function, *arguments):
    value = function(*[mpf(x) for x in arguments])
    high = nearest(value)
    low = 0.0 if math.isinf(high) or high == 0 else nearest(value - mpf(high))
    return [bits(x) for x in arguments] + [bits(high), bits(low)]


def neighbours(x, count=2):
    result = [x]
    below = above = x
    for _ in range(count):
        below, above = math.nextafter(below, -math.inf), math.nextafter(above, math.inf)
        result += [below, above]
    return result


def single(x):
    return struct.unpack("f", struct.pack("f", x))[0]


def singles(x, count=2):
    """The float nearest to x and the ones beside it."""
    pattern = struct.unpack("i", struct.pack("f", x))[0]
    return [struct.unpack("f", struct.pack("i", pattern + d))[0] for d in range(-count, count + 1)]


def both(values):
    return values + [-x for x in values]


def rows(function, values):
    seen = sorted({x for x in values}, key=lambda x: (x, math.copysign(1, x)))
    return [row(function, x) for x in seen]


TINY, LEAST, MOST = 5e-324, 2.2250738585072014e-308, 1.7976931348623157e308
LN2 = float(mpmath.log(2))

exp_values = both([0.0, TINY, LEAST, 1e-300, 2.0**-60, 2.0**-54, 2.0**-53, 2.0**-30, 1e-8, 1e-4])
exp_values += both([0.1, 1.0, 2.0, 10.0, 100.0])
for k in (1, 2, 3, 10, 100, 1000, 1022, 1023, 1074):
    exp_values += both(neighbours((k - 0.5) * LN2, 1)) + both(neighbours(k * LN2, 1))
exp_values += neighbours(709.782712893384) + neighbours(-708.3964185322641) + neighbours(-745.133219101941)
exp_values = [x for x in exp_values if -745.2 < x < 709.79]
exp_values += [rng.uniform(-745, 709.7) for _ in range(60)] + [rng.uniform(-1, 1) for _ in range(60)]

log_values = [TINY, 3 * TINY, LEAST / 3, LEAST, 2 * LEAST, MOST, 1e-300, 1e300, 0.5, 2.0, 4.0, 10.0, 1e5, math.pi]
log_values += neighbours(1.0, 4) + neighbours(math.sqrt(2)) + neighbours(math.sqrt(0.5)) + neighbours(2 * math.sqrt(2))
log_values += [1 + d * 2.0**-k for k in (10, 20, 30, 40, 50) for d in (-1, 1)]
log_values += [math.ldexp(rng.uniform(1, 2), rng.randint(-1074, 1023)) for _ in range(80)]
log_values += [rng.uniform(0.5, 2) for _ in range(60)]

circle_values = both([0.0, TINY, LEAST, 2.0**-60, 2.0**-27, 1e-4, 0.5, 1.0, 99999.0])
for k in (1, 2, 3, 4, 5, 6, 7, 8, 100, 355, 1000, 63661, 63662):
    # The double nearest to a multiple of pi/2 has the smallest rest; near odd multiples of pi/4 the polynomials meet.
    circle_values += both(neighbours(float(k * mp.pi / 2), 1)) + both(neighbours(float((2 * k - 1) * mp.pi / 4), 1))
circle_values = [x for x in circle_values if abs(x) <= 1e5]
circle_values += [rng.uniform(-10, 10) for _ in range(60)] + [rng.uniform(-1e5, 1e5) for _ in range(60)]

power_values = [(2.0, 0.5), (2.0, -1.0), (10.0, 2.0), (0.5, 1074.0), (0.5, 1080.0), (2.0, 1023.0)]
power_values += [(1.0, 3.0), (1.0 + 2.0**-52, 2.0**40), (1 - 2.0**-53, 1e10), (TINY, 0.25), (MOST, 0.5), (MOST, -1.0)]
power_values += [(rng.uniform(0, 1), rng.choice([0.4, 0.7, 1.5, 2.0, 2.2])) for _ in range(60)]
power_values += [(math.exp(rng.uniform(-20, 20)), rng.uniform(-20, 20)) for _ in range(60)]

whole_values = [(b, n) for b in (0.9, 0.99, 0.999, 0.9999) for n in (0, 1, 2, 3, 7, 8, 100, 1000, 4095, 100000)]
whole_values += [(0.0, 0), (0.0, 3), (-2.0, 3), (-0.5, 4), (2.0, 1023), (2.0, 1024), (0.5, 1074), (0.5, 1075)]
whole_values += [(math.nextafter(1.0, 2), 1 << 20), (10.0, 308), (10.0, 309)]

float_values = both([0.0, 2.0**-149, 2.0**-126, 2.0**-60, 2.0**-24, 2.0**-12, 0.5, 1.0, 2.0, 10.0, 20.0, 50.0])
for k in (1, 2, 10, 64, 126, 127):
    float_values += both(singles((k - 0.5) * LN2, 1)) + both(singles(k * LN2, 1))
float_values += both(singles(87.0) + singles(88.0) + singles(16.6355) + singles(17.0))
float_values += [single(rng.uniform(-88, 88)) for _ in range(40)] + [single(rng.uniform(-4, 4)) for _ in range(40)]
exponential_values = float_values + singles(88.72284) + singles(-87.33655) + singles(-103.9721) + singles(-103.2789)
fraction_values = [0.0, 2.0**-149, 2.0**-126, 2.0**-24, 2.0**-23, 2.0**-12, 0.5] + singles(1.0)[:3]
fraction_values += [single(rng.uniform(0, 1)) for _ in range(60)] + [2.0**-k for k in range(1, 30)]

sigmoid = lambda x: 1 / (1 + mpmath.exp(-x))
table = {
    "exp": rows(mpmath.exp, exp_values),
    "log": rows(mpmath.log, log_values),
    "sin": rows(mpmath.sin, circle_values),
    "cos": rows(mpmath.cos, circle_values),
    "pow": [row(mpmath.power, *v) for v in power_values],
    "wholePow": [row(lambda b, n: b ** int(n), b, float(n)) for b, n in whole_values],
    "scalarExp": rows(mpmath.exp, exponential_values),
    "scalarLog1p": rows(mpmath.log1p, fraction_values),
    "scalarSigmoid": rows(sigmoid, float_values),
    "scalarSilu": rows(lambda x: x * sigmoid(x), float_values),
    "scalarSiluDerivative": rows(lambda x: sigmoid(x) * (1 + x * (1 - sigmoid(x))), float_values),
    "scalarSoftplus": rows(lambda x: mpmath.log1p(mpmath.exp(x)), float_values),
}

with open(os.path.join(here, "mathematics.json"), "w") as file:
    parts = []
    for name, entries in table.items():
        lines = ",\n".join("  [" + ", ".join(f'"{x}"' for x in entry) + "]" for entry in entries)
        parts.append(f' "{name}": [\n{lines}\n ]')
    file.write('{\n' + ",\n".join(parts) + "\n}\n")
print({name: len(entries) for name, entries in table.items()})
