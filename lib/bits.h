/* SPDX-License-Identifier: BSD-2-Clause */
/* Freestanding helpers: bit fields, alignment, checked ranges, little-endian access to bytes. */
#ifndef LIB_BITS_H
#define LIB_BITS_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#define BIT(n)                          (1ull << (n))
#define BITS(hi, lo)                    ((~0ull >> (63 - (hi))) & (~0ull << (lo)))
#define ARRAY_LEN(a)                    (sizeof(a) / sizeof((a)[0]))
#define MIN(a, b)                       ((a) < (b) ? (a) : (b))
#define MAX(a, b)                       ((a) > (b) ? (a) : (b))
#define ALIGN_DOWN(x, a)                ((x) & ~((__typeof__(x))(a)-1))
#define ALIGN_UP(x, a)                  ALIGN_DOWN((x) + ((__typeof__(x))(a)-1), a)
#define likely(x)                       __builtin_expect(!!(x), 1)
#define unlikely(x)                     __builtin_expect(!!(x), 0)
#define container_of(ptr, type, member) ((type *)((char *)(ptr)-offsetof(type, member)))

#define WARN_UNUSED  __attribute__((warn_unused_result))
#define PRINTF(f, a) __attribute__((format(printf, f, a)))

#define KiB(n) ((uint64_t)(n) << 10)
#define MiB(n) ((uint64_t)(n) << 20)
#define GiB(n) ((uint64_t)(n) << 30)

/* Value of the bit field hi..lo of x. */
static inline uint64_t bits_get(uint64_t x, unsigned hi, unsigned lo)
{
    return (x & BITS(hi, lo)) >> lo;
}

/* True if [start, start+len) lies inside [0, size); never overflows. */
static inline bool range_ok(uint64_t start, uint64_t len, uint64_t size)
{
    return start <= size && len <= size - start;
}

/* True if two ranges, given by start and length, share a byte; never overflows. */
static inline bool range_overlaps(uint64_t a, uint64_t alen, uint64_t b, uint64_t blen)
{
    return alen && blen && (a < b ? b - a < alen : a - b < blen);
}

/* Little-endian value of n (1..8) bytes at p. */
static inline uint64_t le_get(const void *p, unsigned n)
{
    uint64_t v = 0;
    __builtin_memcpy(&v, p, n);
    return v;
}

static inline void le_put(void *p, uint64_t v, unsigned n) { __builtin_memcpy(p, &v, n); }

static inline uint16_t le16(const void *p) { return (uint16_t)le_get(p, 2); }
static inline uint32_t le32(const void *p) { return (uint32_t)le_get(p, 4); }
static inline uint64_t le64(const void *p) { return le_get(p, 8); }
static inline void le16_put(void *p, uint16_t v) { le_put(p, v, 2); }
static inline void le32_put(void *p, uint32_t v) { le_put(p, v, 4); }
static inline void le64_put(void *p, uint64_t v) { le_put(p, v, 8); }

/* Mask of an operand of n bytes (n = 1, 2, 4, 8). */
static inline uint64_t size_mask(unsigned n) { return ~0ull >> (64 - 8 * n); }

/* Sign-extends the low n bytes of v. */
static inline int64_t sign_extend(uint64_t v, unsigned n)
{
    return (int64_t)(v << (64 - 8 * n)) >> (64 - 8 * n);
}

#endif
