/* SPDX-License-Identifier: BSD-2-Clause */
/* Processor benchmarks: zlib and bzip2, the libraries themselves. */
#include "bench/bench.h"

#include <bzlib.h>
#include <stdio.h>
#include <stdlib.h>
#include <zlib.h>

enum { TEXT = 256 * 1024 };
static char text[TEXT], packed[TEXT + TEXT / 8 + 1024], plain[TEXT];
static uLongf packed_size;

static void setup_deflate(void)
{
    bench_text(text, sizeof(text));
    packed_size = sizeof(packed);
    if (compress2((Bytef *)packed, &packed_size, (const Bytef *)text, TEXT, 6) != Z_OK) {
        fprintf(stderr, "deflate failed\n");
        exit(1);
    }
}

static uint64_t run_deflate(uint64_t n)
{
    uint64_t sum = 0;

    while (n--) {
        uLongf size = sizeof(packed);

        if (compress2((Bytef *)packed, &size, (const Bytef *)text, TEXT, 6) != Z_OK)
            exit(1);
        sum += size;
    }
    return sum;
}

static uint64_t run_inflate(uint64_t n)
{
    uint64_t sum = 0;

    while (n--) {
        uLongf size = sizeof(plain);

        if (uncompress((Bytef *)plain, &size, (const Bytef *)packed, packed_size) != Z_OK)
            exit(1);
        sum += size + (unsigned char)plain[n % TEXT];
    }
    return sum;
}

static void setup_text(void) { bench_text(text, sizeof(text)); }

static uint64_t run_bzip2(uint64_t n)
{
    uint64_t sum = 0;

    while (n--) {
        unsigned size = sizeof(packed);

        if (BZ2_bzBuffToBuffCompress(packed, &size, text, TEXT, 9, 0, 0) != BZ_OK)
            exit(1);
        sum += size;
    }
    return sum;
}

const struct bench_kernel bench_compress[] = {
    { "deflate", setup_deflate, run_deflate, 6 },
    { "inflate", setup_deflate, run_inflate, 110 },
    { "bzip2", setup_text, run_bzip2, 5 },
    { NULL, NULL, NULL, 0 },
};
