/* SPDX-License-Identifier: BSD-2-Clause */
/* Virtio: transport, rings (good and hostile), block, network, console, entropy. */
#include "tests/unit/virtio_rig.h"

#include <errno.h>

#include "device/virtio/blk.h"
#include "device/virtio/console.h"
#include "device/virtio/net.h"
#include "device/virtio/rng.h"
#include "tests/unit/unit.h"

enum { NEXT = 1, WRITE = 2, INDIRECT = 4, DISK = 64 * 512 };

/* ---- a disk in memory ---- */

static uint8_t disk[DISK];
static int disk_error;
static unsigned flushes, discards, zeroes;

static int disk_rw(uint64_t off, const struct virtq_segment *s, unsigned n, bool write)
{
    for (unsigned i = 0; i < n && !disk_error; i++) {
        if (!range_ok(off, s[i].len, DISK))
            return -EINVAL;
        if (write)
            memcpy(disk + off, s[i].base, s[i].len);
        else
            memcpy(s[i].base, disk + off, s[i].len);
        off += s[i].len;
    }
    return disk_error;
}
static int disk_read(void *ctx, uint64_t off, const struct virtq_segment *s, unsigned n)
{
    (void)ctx;
    return disk_rw(off, s, n, false);
}
static int disk_write(void *ctx, uint64_t off, const struct virtq_segment *s, unsigned n)
{
    (void)ctx;
    return disk_rw(off, s, n, true);
}
static int disk_flush(void *ctx)
{
    (void)ctx;
    flushes++;
    return disk_error;
}
static int disk_discard(void *ctx, uint64_t off, uint64_t len, bool zero)
{
    (void)ctx;
    zero ? zeroes++ : discards++;
    if (zero)
        memset(disk + off, 0, len);
    return 0;
}

static struct virtio_device *new_disk(bool readonly)
{
    struct virtio_blk_config c = {
        { disk_read, disk_write, disk_flush, disk_discard, NULL }, DISK, readonly, "serial"
    };
    struct virtio_device *d = NULL;
    CHECK_EQ(virtio_blk_create(&d, &c), 0);
    return d;
}

/* One request: header, `len` bytes of data, status; returns the status, 0xee if none came. */
static uint8_t blk(uint32_t type, uint64_t sector, uint32_t len, bool in)
{
    uint16_t before = rig_used_idx(0);
    le32_put(rig_ram + RIG_DATA, type);
    le64_put(rig_ram + RIG_DATA + 8, sector);
    rig_ram[RIG_DATA + 64] = 0xee;
    rig_desc_put(rig_desc(0), 0, RIG_DATA, 16, NEXT, len ? 1 : 2);
    rig_desc_put(rig_desc(0), 1, RIG_DATA + 4096, len, (uint16_t)(NEXT | (in ? WRITE : 0)), 2);
    rig_desc_put(rig_desc(0), 2, RIG_DATA + 64, 1, WRITE, 0);
    rig_offer(0, 0);
    rig_kick(0);
    CHECK_EQ(rig_used_idx(0), (uint16_t)(before + 1));
    return rig_ram[RIG_DATA + 64];
}

static void test_transport(void)
{
    uint8_t seen = 0;
    CHECK(rig_open(new_disk(false)));
    CHECK_EQ(rig_config(0, 4), 0x10421af4);
    CHECK_EQ(rig_config(8, 4), 0x01000001);
    for (unsigned cap = (unsigned)rig_config(0x34, 1), n = 0; cap && n < 10;
         cap = (unsigned)rig_config(cap + 1, 1), n++)
        if (rig_config(cap, 1) == 9)
            seen |= (uint8_t)(1 << rig_config(cap + 3, 1));
    CHECK_EQ(seen, 0x3e); /* all five structures */
    CHECK_EQ(rig_get(18, 2), 1);
    CHECK_EQ(rig_get(24, 2), 256);
    CHECK_EQ(rig_get(16, 2), 0xffff);
    /* Without VERSION_1, or with what was not offered, there is no FEATURES_OK. */
    rig_set(20, 1, 3);
    rig_set(20, 1, 11);
    CHECK_EQ(rig_get(20, 1), 3);
    CHECK_EQ(rig_features(BIT(50)), 3);
    CHECK_EQ(rig_features(BIT(0)), 3);
    CHECK_EQ(rig_features(0), 11);
    rig_set(12, 4, 0xffffffff); /* too late */
    CHECK_EQ(rig_get(12, 4), 1);
    rig_set(22, 2, 5); /* no such queue */
    CHECK_EQ(rig_get(24, 2), 0);
    rig_set(28, 2, 1);
    rig_set(22, 2, 0);
    rig_set(24, 2, 3); /* not a power of 2 */
    CHECK_EQ(rig_get(24, 2), 256);
    rig_set(26, 2, 2); /* no such vector */
    CHECK_EQ(rig_get(26, 2), 0xffff);
    /* Rings that are not RAM. */
    rig_set(32, 8, RIG_RAM - 16);
    rig_set(28, 2, 1);
    CHECK_EQ(rig_get(28, 2), 0);
    CHECK_EQ(rig_get(20, 1) & VIRTIO_NEEDS_RESET, VIRTIO_NEEDS_RESET);
    rig_set(20, 1, 0);
    CHECK_EQ(rig_get(20, 1), 0);
    /* Through the configuration access capability: device status. */
    unsigned cap = (unsigned)rig_config(0x34, 1);
    while (cap && (rig_config(cap, 1) != 9 || rig_config(cap + 3, 1) != 5))
        cap = (unsigned)rig_config(cap + 1, 1);
    rig_set_config(cap + 4, 1, 0);
    rig_set_config(cap + 8, 4, 20);
    rig_set_config(cap + 12, 4, 1);
    rig_set_config(cap + 16, 1, 3);
    CHECK_EQ(rig_get(20, 1), 3);
    CHECK_EQ(rig_config(cap + 16, 1), 3);
    rig_set_config(cap + 8, 4, 0xfffffff0);
    rig_set_config(cap + 12, 4, 4);
    CHECK_EQ(rig_config(cap + 16, 4), 0xffffffff);
    rig_close();
}

static void test_intx(void)
{
    CHECK(rig_open(new_disk(false)));
    rig_features(0);
    rig_queue(0);
    rig_set(20, 1, 15);
    CHECK_EQ(blk(8, 0, 20, true), 0);
    CHECK_EQ(rig_intx, 1);
    CHECK_EQ(rig_get(0x1000, 1), 1);
    CHECK_EQ(rig_intx, 0);
    CHECK_EQ(rig_get(0x1000, 1), 0);
    le16_put(rig_ram + rig_avail(0), 1); /* no interrupts please */
    CHECK_EQ(blk(8, 0, 20, true), 0);
    CHECK_EQ(rig_intx, 0);
    rig_close();
}

static void test_blk(void)
{
    uint8_t *data;
    CHECK(rig_start(new_disk(false), BIT(9) | BIT(11), 1)); /* FLUSH, CONFIG_WCE */
    data = rig_ram + RIG_DATA + 4096;
    CHECK_EQ(rig_get(0x2000, 8), DISK / 512);
    CHECK_EQ(rig_get(0x2000 + 12, 4), 254);
    memset(data, 0x5a, 1024);
    CHECK_EQ(blk(1, 2, 1024, false), 0);
    CHECK_EQ(disk[1024], 0x5a);
    CHECK_EQ(disk[2047], 0x5a);
    CHECK_EQ(disk[2048], 0);
    CHECK_EQ(rig_messages[1], 1);
    memset(data, 0, 1024);
    rig_written = 0;
    CHECK_EQ(blk(0, 3, 1024, true), 0);
    CHECK_EQ(data[511], 0x5a);
    CHECK_EQ(data[512], 0);
    CHECK_EQ(rig_used_len(0, 1), 1025);
    CHECK(rig_written >= 4); /* data, status, entry, index */
    CHECK_EQ(blk(4, 0, 0, false), 0);
    CHECK_EQ(flushes, 1);
    CHECK_EQ(blk(8, 0, 20, true), 0);
    CHECK(!strcmp((char *)data, "serial"));
    CHECK_EQ(blk(99, 0, 0, false), 2);
    /* Out of range, odd lengths, overflow. */
    CHECK_EQ(blk(0, 63, 1024, true), 1);
    CHECK_EQ(blk(0, 64, 512, true), 1);
    CHECK_EQ(blk(0, ~0ull, 512, true), 1);
    CHECK_EQ(blk(1, 1ull << 55, 512, false), 1);
    CHECK_EQ(blk(0, 0, 100, true), 1);
    /* Write-back off: each write is flushed. */
    flushes = 0;
    rig_set(0x2000 + 32, 1, 0);
    CHECK_EQ(flushes, 1);
    CHECK_EQ(rig_get(0x2000 + 32, 1), 0);
    CHECK_EQ(blk(1, 0, 512, false), 0);
    CHECK_EQ(flushes, 2);
    /* Ranges. */
    memset(data, 0, 32);
    le64_put(data, 2);
    le32_put(data + 8, 2);
    CHECK_EQ(blk(11, 0, 16, false), 0);
    CHECK_EQ(discards, 1);
    le32_put(data + 12, 1);
    CHECK_EQ(blk(11, 0, 16, false), 2); /* unmap flag with a discard */
    CHECK_EQ(blk(13, 0, 16, false), 0);
    CHECK_EQ(zeroes, 1);
    CHECK_EQ(disk[1024], 0);
    le64_put(data, 63);
    CHECK_EQ(blk(13, 0, 16, false), 1);
    le64_put(data, ~0ull);
    CHECK_EQ(blk(13, 0, 16, false), 1);
    CHECK_EQ(blk(13, 0, 15, false), 1);
    disk_error = -EIO;
    CHECK_EQ(blk(0, 0, 512, true), 1);
    disk_error = 0;
    /* No room for a status. */
    rig_desc_put(rig_desc(0), 0, RIG_DATA, 16, 0, 0);
    rig_offer(0, 0);
    rig_kick(0);
    CHECK_EQ(rig_get(20, 1), 15 | VIRTIO_NEEDS_RESET);
    CHECK_EQ(rig_messages[0], 1); /* configuration change */
    rig_close();

    CHECK(rig_start(new_disk(true), BIT(5), 1));
    CHECK_EQ(blk(1, 0, 512, false), 1);
    CHECK_EQ(blk(0, 0, 512, true), 0);
    rig_close();
}

/* Broken rings: each must end in NEEDS_RESET and nothing else, and reset must repair it. */
static void hostile(void (*build)(void))
{
    CHECK(rig_start(new_disk(false), VIRTIO_F_INDIRECT_DESC, 1));
    build();
    rig_kick(0);
    CHECK_EQ(rig_get(20, 1), 15 | VIRTIO_NEEDS_RESET);
    rig_kick(0);
    CHECK(rig_features(0) == 11);
    rig_queue(0);
    rig_set(20, 1, 15);
    CHECK_EQ(blk(4, 0, 0, false), 0);
    rig_close();
}

#define D(i, addr, len, flags, next) rig_desc_put(rig_desc(0), i, addr, len, flags, next)

static void loop(void)
{
    D(0, RIG_DATA, 16, NEXT, 1);
    D(1, RIG_DATA, 16, NEXT, 0);
    rig_offer(0, 0);
}
static void self_loop(void)
{
    D(0, RIG_DATA, 0, NEXT, 0);
    rig_offer(0, 0);
}
static void head_out_of_range(void) { rig_offer(0, RIG_SIZE); }
static void next_out_of_range(void)
{
    D(0, RIG_DATA, 16, NEXT, 0xffff);
    rig_offer(0, 0);
}
static void index_jumps(void) { le16_put(rig_ram + rig_avail(0) + 2, RIG_SIZE + 1); }
static void not_ram(void)
{
    D(0, RIG_RAM - 8, 16, 0, 0);
    rig_offer(0, 0);
}
static void wraps(void)
{
    D(0, ~0ull - 4, 16, 0, 0);
    rig_offer(0, 0);
}
static void huge(void)
{
    D(0, 0, 0xffffffff, WRITE, 0);
    rig_offer(0, 0);
}
static void readable_after_writable(void)
{
    D(0, RIG_DATA, 16, NEXT | WRITE, 1);
    D(1, RIG_DATA, 16, 0, 0);
    rig_offer(0, 0);
}
static void indirect_nested(void)
{
    D(0, RIG_DATA, 32, INDIRECT, 0);
    rig_desc_put(RIG_DATA, 0, RIG_DATA, 32, INDIRECT, 0);
    rig_offer(0, 0);
}
static void indirect_and_next(void)
{
    D(0, RIG_DATA, 32, INDIRECT | NEXT, 1);
    rig_offer(0, 0);
}
static void indirect_odd(void)
{
    D(0, RIG_DATA, 17, INDIRECT, 0);
    rig_offer(0, 0);
}
static void indirect_empty(void)
{
    D(0, RIG_DATA, 0, INDIRECT, 0);
    rig_offer(0, 0);
}
static void indirect_too_long(void)
{
    D(0, RIG_DATA, 0xfffffff0, INDIRECT, 0);
    rig_offer(0, 0);
}
static void indirect_not_ram(void)
{
    D(0, ~0ull - 15, 32, INDIRECT, 0);
    rig_offer(0, 0);
}
static void indirect_loop(void)
{
    D(0, RIG_DATA, 32, INDIRECT, 0);
    rig_desc_put(RIG_DATA, 0, RIG_DATA, 16, NEXT, 1);
    rig_desc_put(RIG_DATA, 1, RIG_DATA, 16, NEXT, 1);
    rig_offer(0, 0);
}

static void test_rings(void)
{
    static void (*const bad[])(void) = { loop,
                                         self_loop,
                                         head_out_of_range,
                                         next_out_of_range,
                                         index_jumps,
                                         not_ram,
                                         wraps,
                                         huge,
                                         indirect_empty,
                                         indirect_and_next,
                                         readable_after_writable,
                                         indirect_nested,
                                         indirect_odd,
                                         indirect_too_long,
                                         indirect_not_ram,
                                         indirect_loop };
    for (unsigned i = 0; i < ARRAY_LEN(bad); i++)
        hostile(bad[i]);
    /* An indirect request that is right, and one without the feature. */
    CHECK(rig_start(new_disk(false), VIRTIO_F_INDIRECT_DESC, 1));
    le32_put(rig_ram + RIG_DATA + 256, 4);
    rig_desc_put(RIG_DATA, 0, RIG_DATA + 256, 16, NEXT, 1);
    rig_desc_put(RIG_DATA, 1, RIG_DATA + 512, 1, WRITE, 0);
    rig_ram[RIG_DATA + 512] = 0xee;
    D(5, RIG_DATA, 32, INDIRECT, 0);
    rig_offer(0, 5);
    rig_kick(0);
    CHECK_EQ(rig_ram[RIG_DATA + 512], 0);
    CHECK_EQ(le32(rig_ram + rig_used(0) + 4), 5);
    rig_features(0);
    rig_queue(0);
    rig_set(20, 1, 15);
    D(5, RIG_DATA, 32, INDIRECT, 0);
    rig_offer(0, 5);
    rig_kick(0);
    CHECK_EQ(rig_get(20, 1), 15 | VIRTIO_NEEDS_RESET);
    rig_close();
    /* The index wraps at 65536. */
    CHECK(rig_start(new_disk(false), 0, 1));
    for (unsigned i = 0; i < 66000; i++) {
        D(0, RIG_DATA, 16, NEXT, 1);
        D(1, RIG_DATA + 64, 1, WRITE, 0);
        le32_put(rig_ram + RIG_DATA, 99);
        rig_offer(0, 0);
        if (i % 7 == 6)
            rig_kick(0);
    }
    CHECK_EQ(rig_used_idx(0), (uint16_t)(66000 - 66000 % 7));
    CHECK_EQ(rig_get(20, 1), 15);
    rig_close();
}

static void test_event_idx(void)
{
    uint8_t *used_event = NULL, *avail_event;
    CHECK(rig_start(new_disk(false), VIRTIO_F_EVENT_IDX, 1));
    used_event = rig_ram + rig_avail(0) + 4 + 2 * RIG_SIZE;
    avail_event = rig_ram + rig_used(0) + 4 + 8 * RIG_SIZE;
    CHECK_EQ(blk(4, 0, 0, false), 0);
    CHECK_EQ(le16(avail_event), 1); /* notify at the next one */
    CHECK_EQ(rig_messages[1], 1);
    le16_put(used_event, 3); /* interrupt when entry 3 is used */
    blk(4, 0, 0, false);
    blk(4, 0, 0, false);
    CHECK_EQ(rig_messages[1], 1);
    blk(4, 0, 0, false);
    CHECK_EQ(rig_messages[1], 2);
    CHECK_EQ(le16(avail_event), 4);
    rig_close();
}

/* ---- network ---- */

static uint8_t sent[2000];
static size_t sent_len;
static void net_send(void *ctx, const void *frame, size_t len)
{
    (void)ctx;
    sent_len = len;
    memcpy(sent, frame, MIN(len, sizeof(sent)));
}

static void test_net(void)
{
    struct virtio_net_config c = { { 2, 1, 2, 3, 4, 5 }, net_send, NULL };
    struct virtio_device *d = NULL;
    uint8_t frame[1514];
    CHECK_EQ(virtio_net_create(&d, &c), 0);
    CHECK(!virtio_net_receive(d, frame, 60)); /* nobody there */
    CHECK(rig_start(d, BIT(5) | BIT(16), 2));
    CHECK_EQ(rig_get(0x2000, 4), 0x03020102);
    CHECK_EQ(rig_get(0x2006, 2), 1);
    /* Out. */
    memset(rig_ram + RIG_DATA, 0xab, 100);
    rig_desc_put(rig_desc(1), 0, RIG_DATA, 12, NEXT, 1);
    rig_desc_put(rig_desc(1), 1, RIG_DATA + 12, 60, 0, 0);
    rig_offer(1, 0);
    rig_kick(1);
    CHECK_EQ(sent_len, 60);
    CHECK_EQ(rig_used_idx(1), 1);
    CHECK_EQ(rig_messages[2], 1);
    /* In: three frames wait, then the guest gives buffers. */
    for (unsigned i = 0; i < 3; i++) {
        memset(frame, 'a' + (int)i, sizeof(frame));
        CHECK(virtio_net_receive(d, frame, 100 + i));
    }
    for (uint16_t i = 0; i < 4; i++) {
        rig_desc_put(rig_desc(0), i, RIG_DATA + i * 0x1000u, 1526, WRITE, 0);
        rig_offer(0, i);
    }
    rig_kick(0);
    CHECK_EQ(rig_used_idx(0), 3);
    CHECK_EQ(rig_used_len(0, 2), 12 + 102);
    CHECK_EQ(le16(rig_ram + RIG_DATA + 10), 1);
    CHECK_EQ(rig_ram[RIG_DATA + 0x2000 + 12], 'c');
    CHECK_EQ(rig_messages[1], 1);
    CHECK(virtio_net_receive(d, frame, sizeof(frame)));
    CHECK_EQ(rig_used_idx(0), 4);
    CHECK_EQ(rig_used_len(0, 3), 1526);
    CHECK(!virtio_net_receive(d, frame, 5));
    /* More than is kept. */
    unsigned n = 0;
    while (n < 1000 && virtio_net_receive(d, frame, sizeof(frame)))
        n++;
    CHECK_EQ(n, 256 * 1024 / 1518);
    /* A buffer that is too small loses the frame, not the device. */
    rig_desc_put(rig_desc(0), 0, RIG_DATA, 100, WRITE, 0);
    rig_offer(0, 0);
    rig_kick(0);
    CHECK_EQ(rig_get(20, 1), 15);
    CHECK_EQ(rig_used_idx(0), 4);
    /* A frame without a header. */
    rig_desc_put(rig_desc(1), 0, RIG_DATA, 11, 0, 0);
    rig_offer(1, 0);
    rig_kick(1);
    CHECK_EQ(rig_get(20, 1), 15 | VIRTIO_NEEDS_RESET);
    rig_close();
}

/* ---- console, entropy ---- */

static char out[64];
static size_t out_len, resumes;
static size_t char_write(void *ctx, const void *buf, size_t len)
{
    (void)ctx;
    len = MIN(len, (size_t)3); /* in small pieces */
    memcpy(out + out_len, buf, len);
    out_len += len;
    return len;
}
static void char_resume(void *ctx)
{
    (void)ctx;
    resumes++;
}

static void test_console(void)
{
    const struct char_backend backend = { char_write, char_resume, NULL };
    struct virtio_device *d = NULL;
    struct char_sink sink;
    CHECK_EQ(virtio_console_create(&d, &backend), 0);
    sink = virtio_console_sink(d);
    CHECK_EQ(sink.room(sink.dev), 0);
    CHECK(rig_start(d, 0, 2));
    memcpy(rig_ram + RIG_DATA, "hello, host", 11);
    rig_desc_put(rig_desc(1), 0, RIG_DATA, 7, NEXT, 1);
    rig_desc_put(rig_desc(1), 1, RIG_DATA + 7, 4, 0, 0);
    rig_offer(1, 0);
    rig_kick(1);
    CHECK_EQ(out_len, 11);
    CHECK(!memcmp(out, "hello, host", 11));
    CHECK(sink.room(sink.dev) >= 256);
    sink.input(sink.dev, (const uint8_t *)"typed", 5);
    for (uint16_t i = 0; i < 2; i++) {
        rig_desc_put(rig_desc(0), i, RIG_DATA + 0x1000 + i * 256u, 3, WRITE, 0);
        rig_offer(0, i);
    }
    rig_kick(0);
    CHECK_EQ(rig_used_idx(0), 2);
    CHECK_EQ(rig_used_len(0, 0), 3);
    CHECK_EQ(rig_used_len(0, 1), 2);
    CHECK(!memcmp(rig_ram + RIG_DATA + 0x1100, "ed", 2));
    CHECK(resumes > 0);
    rig_close();
}

static size_t fill(void *ctx, void *buf, size_t len)
{
    (void)ctx;
    memset(buf, 0x42, len);
    return len;
}

static void test_rng(void)
{
    const struct virtio_rng_config c = { fill, NULL };
    struct virtio_device *d = NULL;
    CHECK_EQ(virtio_rng_create(&d, &c), 0);
    CHECK(rig_start(d, 0, 1));
    rig_desc_put(rig_desc(0), 0, RIG_DATA, 10000, WRITE, 0);
    rig_offer(0, 0);
    rig_kick(0);
    CHECK_EQ(rig_used_len(0, 0), 4096);
    CHECK_EQ(rig_ram[RIG_DATA + 4095], 0x42);
    CHECK_EQ(rig_ram[RIG_DATA + 4096], 0);
    rig_close();
}

int main(void)
{
    test_transport();
    test_intx();
    test_blk();
    test_rings();
    test_event_idx();
    test_net();
    test_console();
    test_rng();
    free(rig_ram);
    return unit_done("virtio");
}
