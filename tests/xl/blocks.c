/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Three-way differential test of whole blocks: the processor, the emulator and the translator run
 * the same random code from the same states until it faults; registers, flags, vector state, memory
 * and the exception must be the same. With loops, calls, returns, indirect jumps, code across
 * pages, code that changes itself (directly and by another mapping), changes from outside between
 * two runs, read-only, missing and MMIO pages (these not natively), in 64- and 32-bit code, in ring
 * 3 and (not natively) ring 0. The translator is run as for a processor with BMI2, with a slow PEXT
 * and without BMI2; with all flags live and not; with blocks interpreted at first and not; and with
 * a code cache that becomes full in the middle.
 *
 *   blocks [--seed N] [--count N] [--states N] [--seconds N] [--show N] [--window]
 * --count blocks are entered with --states states each: these are the cases. --seconds of its own
 * time end it earlier. Ends with a summary line; exit status 1 if anything differed, 77 if it
 * cannot run here.
 */
#include <getopt.h>
#include <inttypes.h>
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

#include "tests/xl/blocks.h"

enum { CACHE = 4 << 20 };
enum { EMULATOR, BMI2, SLOW_PEXT, NO_BMI2, GUESTS };
struct guest guest[GUESTS];
static bool chosen[GUESTS]; /* translators for this block */
static unsigned guests = GUESTS;
static bool windowed;

_Atomic uint64_t runs, stuck_run;
static uint64_t blocks, cases, natives, translated, differences, abandoned, strange, by_vector[33];
static unsigned show = 5, stuck_ms = 10;
static _Atomic unsigned patience; /* for the run under way */
static clockid_t my_time;

static uint64_t now_ns(void)
{
    struct timespec ts;

    clock_gettime(my_time, &ts);
    return (uint64_t)ts.tv_sec * 1000000000 + (uint64_t)ts.tv_nsec;
}

/* Code that came to run at a chance address may never end. */
static void *watchdog(void *arg)
{
    uint64_t last = 0, since = now_ns();

    (void)arg;
    for (;; usleep(1000)) {
        const uint64_t n = runs, now = now_ns();
        if (n != last) {
            last = n;
            since = now;
        } else if (now - since > patience * 1000000ull) {
            stuck_run = n;
            for (unsigned k = 0; k < guests; k++)
                guest_kick(&guest[k]);
            processor_stop();
            since = now;
        }
    }
    return NULL;
}

/* ---- reports ---- */

static void crash(int sig, uint64_t rip)
{
    printf("case %" PRIu64 ", %u-bit: signal %d at %#" PRIx64 ":", cases, test.mode * 8, sig, rip);
    for (unsigned i = 0; i < 16; i++)
        printf(" %02x", ((const uint8_t *)(uintptr_t)rip)[i]);
    printf("\n");
    print_block();
    print_state("before", &test.before);
    fflush(stdout);
}

static void report(const char *what, const struct guest *g, const struct state *n,
                   const struct state *e, const struct state *s)
{
    const uint8_t *e_data = guest_data(&guest[EMULATOR]);
    const uint8_t *ram[] = { n ? processor_data : e_data, e_data, guest_data(g) };

    if (differences++ >= show)
        return;
    printf("block %" PRIu64 " case %" PRIu64 ", %u-bit ring %u%s%s: %s by %s\n", blocks, cases,
           test.mode * 8, test.kernel ? 0 : 3, test.changes ? ", changes" : "",
           g->exact ? ", exact" : "", what, g->name);
    print_block();
    print_state("before", &test.before);
    if (n)
        print_state("native", n);
    print_state("emulator", e);
    if (s)
        print_state(g->name, s);
    for (unsigned i = 0, k = 0; i < sizeof(test.data) && k < 16; i++)
        if (ram[1][i] != ram[2][i] || (n && ram[0][i] != ram[1][i]))
            k++, printf("  data %x: was %02x, native %02x emulator %02x %s %02x\n", i, test.data[i],
                        ram[0][i], ram[1][i], g->name, ram[2][i]);
}

/* ---- a case ---- */

static uint8_t *code_of(struct guest *g) { return guest_code_at(g, test.base); }

static void load_block(void)
{
    if (processor_code)
        memcpy(processor_code + (test.base - CODE), test.page, sizeof(test.page));
    for (unsigned k = 0; k < guests; k++)
        guest_code(&guest[k], test.page, test.base, sizeof(test.page));
}

/* Undoes what the block did to its own code, and only that: translations of the rest remain. */
static void restore_code(struct guest *g)
{
    const uint8_t *is = code_of(g);
    unsigned from = 0, to = sizeof(test.page);

    if (!memcmp(is, test.page, to))
        return;
    while (is[from] == test.page[from])
        from++;
    while (is[to - 1] == test.page[to - 1])
        to--;
    guest_code(g, test.page + from, test.base + from, to - from);
}

static void forget_code(void)
{
    static uint8_t empty[PAGES * 4096];
    const bool elsewhere = test.elsewhere;

    memset(empty, 0xcc, sizeof(empty));
    if (processor_code)
        memcpy(processor_code, empty, sizeof(empty));
    test.elsewhere = false;
    for (unsigned k = 0; k < guests; k++)
        guest_code(&guest[k], empty, CODE, sizeof(empty));
    test.elsewhere = elsewhere;
    load_block();
}

static void compare(struct guest *g, const struct state *n, const struct state *e,
                    const struct state *s)
{
    const uint8_t *data = guest_data(&guest[EMULATOR]);
    /* A fault may find flags that nobody would have read. */
    const bool flags = g->exact || e->vector == X86_BP;
    const char *what = differ(e, s, flags, false);
    const bool changed = memcmp(code_of(&guest[EMULATOR]), test.page, sizeof(test.page));

    if (!what && n)
        what = differ(n, s, flags, true);
    if (!what && memcmp(data, guest_data(g), sizeof(test.data)))
        what = windowed ? differ_data(data, guest_data(g), s) : "memory";
    if (!what && n && differ_data(data, processor_data, n))
        what = "memory, natively";
    if (!what && (changed || memcmp(code_of(g), test.page, sizeof(test.page)))) {
        if (memcmp(code_of(&guest[EMULATOR]), code_of(g), sizeof(test.page)))
            what = "code";
        else if (n && memcmp(code_of(g), processor_code + (test.base - CODE), sizeof(test.page)))
            what = "code, natively";
    }
    if (what)
        report(what, g, n, e, s);
}

/* It came to run our kernel: what becomes of it there depends on words that each guest has of its
 * own. */
static bool is_in_kernel(const struct state *s)
{
    return test.kernel && s->rip < sizeof(guest->kernel);
}

/* Where there is something in one of the two only. */
static bool is_only_native(uint64_t lin)
{
    return data_offset(lin) >> 12 == (MMIO - DATA) >> 12 || lin - STATE < 0x10000;
}

static void one_case(bool flush)
{
    static struct state n, e, s;
    /* A sanitizer's own memory is where there is to be none. */
    bool native = !test.mmio && !test.kernel && !XL_FPU_EAGER && !windowed;
    enum guest_end end;

    patience = stuck_ms;
    runs++;
    end = guest_run(&guest[EMULATOR], &e, flush);
    if (end == STUCK) { /* how far it got, and where it stored, is chance */
        abandoned++;
        forget_code();
        return;
    }
    cases++;
    const bool chance = end == ENDED && is_in_kernel(&e);
    if (chance || end == STRANGE)
        strange++;
    else
        by_vector[MIN((unsigned)e.vector, 32u)]++;
    if (native && end == ENDED && !chance) {
        runs++;
        processor_run(&n);
        native = n.vector >= 0 && (n.vector != X86_PFV || !is_only_native(n.cr2));
        abandoned += n.vector < 0;
        natives += native;
    }
    patience = 50 * stuck_ms; /* code that changes all the time takes a translator longer */
    for (unsigned k = BMI2; k < guests; k++) {
        if (!chosen[k])
            continue;
        runs++;
        const enum guest_end other = guest_run(&guest[k], &s, flush);
        translated++;
        if (chance)
            continue;
        if (other == STUCK) {
            report("does not end", &guest[k], native ? &n : NULL, &e, NULL);
            forget_code();
        } else if (other != end || (end == STRANGE && (s.rip != e.rip || s.vector != e.vector))) {
            report("no exception ends it", &guest[k], NULL, &e, &s);
        } else if (end == ENDED) {
            compare(&guest[k], native ? &n : NULL, &e, &s);
        }
    }
    for (unsigned k = 0; k < guests; k++)
        if (k == EMULATOR || chosen[k])
            restore_code(&guest[k]);
    if (processor_code)
        memcpy(processor_code + (test.base - CODE), test.page, sizeof(test.page));
}

static void choose_translators(void)
{
    const bool all = one_in(8), exact = one_in(3), cold = one_in(6), peek = !one_in(4);
    const unsigned one = one_in(2) ? BMI2 : one_in(2) ? SLOW_PEXT : NO_BMI2;

    for (unsigned k = BMI2; k < guests; k++) {
        chosen[k] = all || k == one || windowed;
        guest_translator(&guest[k], exact, cold, peek);
    }
}

static void one_block(unsigned states)
{
    const bool full = one_in(64);

    test.elsewhere = false;
    make_block();
    choose_translators();
    load_block();
    for (unsigned i = 0; i < states; i++) {
        if (i && one_in(3)) { /* from outside, only what is to be other than it is now */
            const uint64_t at = make_change();
            if (processor_code)
                memcpy(processor_code + (at - CODE), test.page + (at - test.base), 4);
            for (unsigned k = 0; k < guests; k++)
                guest_code(&guest[k], test.page + (at - test.base), at, 4);
        }
        if (i && one_in(16)) { /* the same code but for this, in other frames */
            test.elsewhere = !test.elsewhere;
            make_change();
            load_block();
        }
        const unsigned room = below(8192);
        for (unsigned k = BMI2; k < guests && full; k++)
            guest_fill_cache(&guest[k], room);
        make_entry();
        one_case(one_in(16));
    }
    blocks++;
}

/* The window is the host's low addresses, where the processor's blocks run otherwise. */
static void setup_windowed(void)
{
    guests = BMI2 + 1;
    guest_setup(&guest[EMULATOR], "emulator", &(struct engine_options){ .soft = "interp" });
    guest_setup(
        &guest[BMI2], "translator, window",
        &(struct engine_options){ .soft = "translate", .soft_window = true, .soft_cache = CACHE });
    if (!guest_soft(&guest[BMI2])->xl.window) {
        printf("SKIP: no window on this host\n");
        exit(77);
    }
}

static bool was_windowed(void)
{
    const uint64_t pages = guest_soft(&guest[BMI2])->xl.window_pages;

    printf("%" PRIu64 " pages mapped in the window\n", pages);
    return pages > blocks / 10;
}

static void setup(void)
{
    processor_setup();
    guest_setup(&guest[EMULATOR], "emulator", &(struct engine_options){ .soft = "interp" });
    for (unsigned k = BMI2; k < guests; k++) {
        static const char *const name[] = { [BMI2] = "translator",
                                            [SLOW_PEXT] = "translator, slow pext",
                                            [NO_BMI2] = "translator, no bmi2" };
        guest_setup(&guest[k], name[k],
                    &(struct engine_options){
                        .soft = "translate", .soft_no_bmi2 = k == NO_BMI2, .soft_cache = CACHE });
    }
    struct soft_vcpu *v = guest_soft(&guest[SLOW_PEXT]);
    v->xl.pext = false;
    xl_thunks(v);
    xl_flush(v);
}

int main(int argc, char **argv)
{
    static const struct option options[] = {
        { "seed", required_argument, NULL, 's' },   { "count", required_argument, NULL, 'c' },
        { "states", required_argument, NULL, 'e' }, { "seconds", required_argument, NULL, 't' },
        { "show", required_argument, NULL, 'n' },   { "window", no_argument, NULL, 'x' },
        { "stuck", required_argument, NULL, 'w' },  { NULL, 0, NULL, 0 }
    };
    uint64_t seed = 1, count = 10000, seconds = 0;
    unsigned states = 8, forms, least;

    for (int o; (o = getopt_long(argc, argv, "", options, NULL)) != -1;)
        switch (o) {
        case 's': seed = strtoull(optarg, NULL, 0); break;
        case 'c': count = strtoull(optarg, NULL, 0); break;
        case 'e': states = (unsigned)strtoul(optarg, NULL, 0); break;
        case 't': seconds = strtoull(optarg, NULL, 0); break;
        case 'n': show = (unsigned)strtoul(optarg, NULL, 0); break;
        case 'x': windowed = true; break;
        case 'w': stuck_ms = (unsigned)strtoul(optarg, NULL, 0); break;
        default: return 2;
        }
    gen_seed(seed);
    processor_look(crash);
    test.mirror = !windowed;
    if (windowed)
        setup_windowed();
    else
        setup();
    /* The engine's handlers come with its first run. */
    make_block();
    load_block();
    make_entry();
    for (unsigned k = 0; k < guests; k++)
        guest_run(&guest[k], &test.before, false);
    if (!windowed)
        processor_faults_first();
    pthread_t dog;
    if (pthread_getcpuclockid(pthread_self(), &my_time) ||
        pthread_create(&dog, NULL, watchdog, NULL))
        return 77;
    const uint64_t begin = now_ns(), limit = seconds * 1000000000;
    while (blocks < count && (!limit || now_ns() - begin < limit))
        one_block(states);
    gen_coverage(&forms, &least);
    printf("%" PRIu64 " blocks (%u forms of instructions), %" PRIu64 " cases, %" PRIu64
           " of them also by the processor, %" PRIu64 " runs translated, %" PRIu64
           " differences; %" PRIu64 " cases left as they did not end, %" PRIu64
           " not ended by an exception; %.1f s\nended by",
           blocks, forms, cases, natives, translated, differences, abandoned, strange,
           (double)(now_ns() - begin) / 1e9);
    for (unsigned i = 0; i < 33; i++)
        if (by_vector[i])
            printf(" #%u: %" PRIu64, i, by_vector[i]);
    printf("\n");
    const bool as_meant = !windowed || was_windowed();
    pthread_cancel(dog);
    pthread_join(dog, NULL);
    for (unsigned k = 0; k < guests; k++)
        engine_soft.destroy_vm(guest[k].vm);
    return differences != 0 || !as_meant;
}
