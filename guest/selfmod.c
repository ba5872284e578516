/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Code that changes itself, and code that reads itself. [SDM] 3A "Self-Modifying Code": a processor
 * sees its own stores in what it executes next; through another linear address, after a serialising
 * instruction. Each line of the report ends with a figure that a processor gives. Also 64-bit.
 */
#include "guest/lib/guest.h"

#ifdef __x86_64__
#define SP    "%rsp"
#define A     "%rax"
#define C     "%rcx"
#define D     "%rdx"
#define S     "%rsi"
#define STACK "%%rsp"
enum { WORD = 8, BIG = 2 << 20 };
#define WORD_STR "8"
#else
#define SP       "%esp"
#define A        "%eax"
#define C        "%ecx"
#define D        "%edx"
#define S        "%esi"
#define STACK    "%%esp"
enum { WORD = 4, BIG = 4 << 20 };
#define WORD_STR "4"
#endif

static void figure(const char *name, uint64_t got, uint64_t want)
{
    report(name, got == want);
    print("   ");
    print_hex(got);
    if (got != want) {
        print(" wanted ");
        print_hex(want);
    }
    print("\n");
}

/* a → accumulator on return; s in rsi */
static uintptr_t call2(const void *fn, uintptr_t a, uintptr_t s)
{
    __asm__ volatile("call *%1" : "+a"(a), "+D"(fn), "+S"(s) : : "ecx", "edx", "memory", "cc");
    return a;
}
static uintptr_t call(const void *fn, uintptr_t a) { return call2(fn, a, 0); }

static void serialise(void)
{
    uint32_t a = 0, b, c = 0, d;
    __asm__ volatile("cpuid" : "+a"(a), "=b"(b), "+c"(c), "=d"(d)::"memory");
}

static void store32(void *p, uint32_t v) { __builtin_memcpy(p, &v, 4); }

/* ---- code with stores into itself; `_at` is what they change ---- */
#define FN(name, body)                                                                             \
    extern uint8_t name[], name##_at[];                                                            \
    __asm__(".pushsection .text.smc,\"ax\"\n .balign 16\n .globl " #name ", " #name "_at\n" #name  \
            ":\n" body "\n .popsection");

FN(fn_loop,
   "mov $1000, %ecx; xor %edx, %edx;"
   "1: mov $0, %eax; fn_loop_at = . - 4; add %eax, %edx; incl fn_loop_at; dec %ecx; jnz 1b;"
   "mov %edx, %eax; ret")
FN(fn_next, "movl %eax, fn_next_at; mov $0x11111111, %eax; fn_next_at = . - 4; ret")
FN(fn_ahead, "movb %al, fn_ahead_at; mov $100, %eax; lea 1(%eax), %eax;"
             ".byte 0x83; fn_ahead_at: .byte 0xc0, 5; ret")
FN(fn_block, "movl %eax, fn_block_at; jmp 1f; ud2; 1: mov $0, %eax; fn_block_at = . - 4; ret")
FN(fn_itself, "fn_itself_at: movl %eax, fn_itself_at; mov $42, %eax; ret")
FN(fn_caller, "call 1f; mov $0, %eax; fn_caller_at = . - 4; ret; 1: movl %eax, fn_caller_at; ret")
FN(fn_movs, "mov $fn_movs_at, %edi; mov $5, %ecx; cld; rep movsb;"
            "fn_movs_at: nop; nop; nop; nop; nop; ret")
FN(fn_stos, "mov $fn_stos_at, %edi; mov $4, %ecx; cld; rep stosb; mov $0, %eax; fn_stos_at = . - 4;"
            "ret")
FN(fn_xadd, "lock xaddl %eax, fn_xadd_at; mov $0, %eax; fn_xadd_at = . - 4; ret")
FN(fn_xchg, "xchgl %eax, fn_xchg_at; mov $0, %eax; fn_xchg_at = . - 4; ret")
FN(fn_cmpxchg, "mov %eax, %ecx; mov fn_cmpxchg_at, %eax; lock cmpxchgl %ecx, fn_cmpxchg_at;"
               "mov $0, %eax; fn_cmpxchg_at = . - 4; ret")
FN(fn_btc, "lock btcl %eax, fn_btc; mov $0, %eax; fn_btc_at = . - 4; ret")
FN(fn_rmw, "addl %eax, fn_rmw_at; mov $0, %eax; fn_rmw_at = . - 4; ret")
FN(fn_push, "mov " SP "," D "; mov $fn_push_at + " WORD_STR "," SP "; push " A "; mov " D "," SP ";"
            "fn_push_at: .fill " WORD_STR ", 1, 0x90; ret")
FN(fn_fist, "push " A "; fninit; fildl (" SP "); fistpl fn_fist_at; pop " A ";"
            "mov $0, %eax; fn_fist_at = . - 4; ret")
FN(fn_word, "movw %ax, fn_word_at; mov $0, %eax; fn_word_at = . - 3; ret") /* across two fields */
FN(fn_wait, "fn_wait_at: jmp fn_wait_at; inc %eax; ret")
#ifdef __x86_64__
FN(fn_sse, "movups (%rsi), %xmm0; movups %xmm0, fn_sse_at; fn_sse_at: .fill 16, 1, 0x90; ret")
FN(fn_cx16, "mov fn_cx16_at, %rax; mov fn_cx16_at + 8, %rdx; push %rbx; mov (%rsi), %rbx;"
            "mov 8(%rsi), %rcx; lock cmpxchg16b fn_cx16_at; pop %rbx; jmp fn_cx16_at;"
            ".balign 16; fn_cx16_at: .fill 16, 1, 0x90; ret")
#endif
/* Adds up the bytes from itself to its end, rsi times. */
FN(fn_sum, "xor %eax, %eax; 2: mov $fn_sum, %edx; 1: movzbl (" D "), %ecx; add %ecx, %eax; inc " D
           "; cmp $fn_sum_at, %edx; jb 1b; dec %esi; jnz 2b; ret; fn_sum_at:")
/* Recursive; counts its calls at (rsi). Position-independent. */
FN(fn_fib, "1: incl (" S "); cmp $2, %eax; jb 2f; push " A "; dec %eax; call 1b; pop " C "; push " A
           "; lea -2(%ecx), %eax; call 1b; pop " C "; add %ecx, %eax; 2: ret; fn_fib_at:")
/* A trap with the stack whose end is in rsi. */
FN(fn_int, "xchg " SP ", " S "; int $0x80; xchg " SP ", " S "; fn_int_at: ret")
/* For ring 3. */
FN(fn_user, "xor %ecx, %ecx; xor %edx, %edx;"
            "1: movl %ecx, fn_user_at; mov $0, %eax; fn_user_at = . - 4; add %eax, %edx; inc %ecx;"
            "cmp $1000, %ecx; jb 1b; mov %edx, %eax; int $0x81")

static uintptr_t call_on(const void *fn, uintptr_t a, uintptr_t s, void *stack)
{
    __asm__ volatile("xchg " STACK ", %3; call *%1; mov %3, " STACK
                     : "+a"(a), "+D"(fn), "+S"(s), "+b"(stack)
                     :
                     : "ecx", "edx", "memory", "cc");
    return a;
}

extern uint8_t trap_stubs[];
static uint8_t buffer[16 * 4096] __attribute__((aligned(4096)));

static void copy(uint8_t *to, const uint8_t *from, size_t n)
{
    __asm__ volatile("rep movsb" : "+D"(to), "+S"(from), "+c"(n)::"memory");
}

static uint32_t seed = 2463534242;
static uint32_t rnd(void)
{
    seed ^= seed << 13;
    seed ^= seed >> 17;
    seed ^= seed << 5;
    return seed;
}

static uint64_t rounds(const void *fn, unsigned n)
{
    uint64_t sum = 0;
    for (unsigned i = 0; i < n; i++)
        sum += (uint32_t)call(fn, i);
    return sum;
}

static void same_stream(void)
{
    const uint64_t to999 = 499500;
    store32(fn_loop_at, 0);
    figure("an immediate of the loop", (uint32_t)call(fn_loop, 0), to999);
    figure("the next instruction", rounds(fn_next, 1000), to999);
    static const struct {
        uint8_t modrm;
        uint32_t result;
    } op[] = { { 0xc0, 106 }, { 0xc8, 101 }, { 0xe0, 5 }, { 0xe8, 96 }, { 0xf0, 96 } };
    uint64_t good = 0;
    for (unsigned i = 0; i < 1000; i++)
        good += call(fn_ahead, op[i % 5].modrm) == op[i % 5].result;
    figure("an opcode further on", good, 1000);
    figure("the next block", rounds(fn_block, 1000), to999);
    uint8_t kept[8];
    good = 0;
    for (unsigned i = 0; i < 100; i++) {
        __builtin_memcpy(kept, fn_itself_at, 8);
        good += call(fn_itself, 0x0b0f0b0f) == 42; /* ud2 */
        __builtin_memcpy(fn_itself_at, kept, 8);
    }
    figure("the store itself", good, 100);
    figure("where the callee returns to", rounds(fn_caller, 1000), to999);
    good = 0;
    for (unsigned i = 0; i < 1000; i++) {
        uint8_t insn[5] = { 0xb8 };
        store32(insn + 1, i * 7919);
        good += (uint32_t)call2(fn_movs, 0, (uintptr_t)insn) == i * 7919;
    }
    figure("behind a REP MOVS", good, 1000);
    good = 0;
    for (unsigned i = 0; i < 256; i++)
        good += (uint32_t)call(fn_stos, i) == i * 0x01010101;
    figure("behind a REP STOS", good, 256);
    figure("by XADD", rounds(fn_xadd, 1000), 166666500); /* of running sums */
    figure("by XCHG", rounds(fn_xchg, 1000), to999);
    figure("by CMPXCHG", rounds(fn_cmpxchg, 1000), to999);
    figure("by ADD to memory", rounds(fn_rmw, 1000), 166666500);
    good = 0;
    uint32_t bits = 0;
    for (unsigned i = 0; i < 1000; i++) {
        uint32_t bit = rnd() % 32;
        bits ^= 1u << bit;
        good += (uint32_t)call(fn_btc, (uintptr_t)(fn_btc_at - fn_btc) * 8 + bit) == bits;
    }
    figure("by BTC with a far bit", good, 1000);
    good = 0;
    for (unsigned i = 0; i < 128; i++) {
        uintptr_t code = (uintptr_t)0x9090909090909090ull; /* push imm8; pop eax; nop */
        code = (code & ~(uintptr_t)0xffffff) | 0x58006a | i << 8;
        good += call(fn_push, code) == i;
    }
    figure("by PUSH", good, 128);
    figure("by FISTP", rounds(fn_fist, 1000), to999);
    good = 0;
    for (unsigned i = 0; i < 1000; i++)
        good += (uint32_t)call(fn_word, i * 57) == ((i * 57) & 0xffff) << 8;
    figure("two bytes inside an immediate", good, 1000);
#ifdef __x86_64__
    uint64_t sse = 0, cx = 0;
    for (unsigned i = 0; i < 1000; i++) {
        uint8_t insn[16] __attribute__((aligned(16)));
        __builtin_memset(insn, 0x90, 16);
        insn[i % 12] = 0xb8;
        store32(insn + i % 12 + 1, i * 31);
        sse += (uint32_t)call2(fn_sse, 0, (uintptr_t)insn) == i * 31;
        cx += (uint32_t)call2(fn_cx16, 0, (uintptr_t)insn) == i * 31;
    }
    figure("by MOVUPS", sse, 1000);
    figure("by CMPXCHG16B", cx, 1000);
#endif
}

/* ---- other pages ---- */

static uint8_t *put_mov_ret(uint8_t *p, uint32_t v)
{
    p[0] = 0xb8; /* mov eax, imm32 */
    store32(p + 1, v);
    p[5] = 0xc3;
    return p;
}

static void other_pages(void)
{
    uint64_t good = 0;
    for (unsigned i = 0; i < 2000; i++) {
        uint8_t *p = buffer + rnd() % (sizeof(buffer) - 8);
        good += (uint32_t)call(put_mov_ret(p, i), 0) == i;
    }
    figure("emit anywhere and run", good, 2000);
    good = 0;
    for (unsigned i = 0; i < 5000; i++)
        good += (uint32_t)call(put_mov_ret(buffer + 64, i), 0) == i;
    figure("emit in one place and run", good, 5000);
    good = 0;
    for (unsigned k = 1; k < 5; k++)
        for (unsigned i = 0; i < 300; i++) {
            put_mov_ret(buffer + 4096 - k, 0);
            call(buffer + 4096 - k, 0);
            buffer[4096 + i % (5 - k)] = (uint8_t)(i | 1); /* its part in the second page */
            good += (uint32_t)call(buffer + 4096 - k, 0) == (uint32_t)(uint8_t)(i | 1)
                                                                << 8 * (k - 1 + i % (5 - k));
        }
    figure("an instruction across two pages", good, 1200);

    /* Decrypted, run, encrypted again. */
    good = 0;
    put_mov_ret(buffer + 0x2100, 77);
    for (unsigned i = 0; i < 500; i++) {
        uint8_t key = (uint8_t)rnd();
        for (unsigned k = 0; k < 6; k++)
            buffer[0x2100 + k] ^= key;
        for (unsigned k = 0; k < 6; k++)
            buffer[0x2100 + k] ^= key;
        good += call(buffer + 0x2100, 0) == 77;
    }
    figure("decrypted in place", good, 500);

    /* A whole page copied over another, both having run. */
    good = 0;
    for (unsigned k = 0; k < 2; k++)
        put_mov_ret(buffer + (3 + k) * 4096 + 0x30, 1000 + k);
    for (unsigned i = 0; i < 500; i++) {
        copy(buffer + 5 * 4096, buffer + (3 + i % 2) * 4096, 4096);
        good += call(buffer + 5 * 4096 + 0x30, 0) == 1000 + i % 2;
    }
    figure("a page copied", good, 500);

    /* Code, stack and counter in one page; at last all in one line. */
    uint32_t calls = 0;
    uint64_t sum = 0;
    const size_t size = (size_t)(fn_fib_at - fn_fib);
    for (unsigned i = 0; i < 8; i++) {
        uint8_t *page = buffer + (6 + i % 2) * 4096;
        uint8_t *fib = page + 0xa00 + 0x100 * (i / 2) + i;
        volatile uint32_t *count = (uint32_t *)(void *)(fib + (i < 4 ? 0x100 : (int)size));
        copy(fib, fn_fib, size);
        *count = 0;
        sum += call_on(fib, 15, (uintptr_t)count, page + (i < 4 ? 4096 : 0xa00 + 0x100 * (i / 2)));
        calls += *count;
    }
    figure("code, stack and data in one page", sum, 8 * 610);
    figure("and its counter", calls, 8 * 1973);
}

static void on_nothing(struct trap_frame *f) { (void)f; }

/* A trap pushes its frame, then its stub the registers, over what has run. */
static void frames(void)
{
    uint8_t *top = buffer + 0x7800, *ax = top - (WORD == 8 ? 64 : 24);
    uint64_t good = 0;
    trap_handler[0x80] = on_nothing;
    for (unsigned i = 0; i < 100; i++) {
        call2(fn_int, (uintptr_t)0x909090c358006aull | i << 8, (uintptr_t)top);
        good += call(ax, 0) == i; /* push i; pop eax; ret */
    }
    figure("by the frame of a trap", good, 100);
}

/* ---- other mappings ---- */

#ifdef __x86_64__
extern uint64_t pd[];
static void paging_on(void) {}
#else
static uint32_t pd[1024] __attribute__((aligned(4096)));
static void paging_on(void)
{
    for (unsigned i = 0; i < 1024; i++)
        pd[i] = i * BIG | 0x87;
    WRITE_CR(3, pd);
    WRITE_CR(4, READ_CR(4) | 0x10);
    WRITE_CR(0, READ_CR(0) | 0x80010000);
}
#endif

static uint8_t *const window = (uint8_t *)0x20000000, *const twin = (uint8_t *)0x28000000;
static uint8_t *const frame_a = (uint8_t *)(40 << 20), *const frame_b = (uint8_t *)(44 << 20);

static void map(uint8_t *at, const void *phys, unsigned flags)
{
    pd[(uintptr_t)at / BIG] = ((uintptr_t)phys & ~(uintptr_t)(BIG - 1)) | flags | 0x80;
    __asm__ volatile("invlpg (%0)" ::"r"(at) : "memory");
}

static unsigned faults;
static uintptr_t fault_error;
static void on_pf(struct trap_frame *f)
{
    faults++;
    fault_error = f->error;
    if (f->bx == 0x5afe)
        map(window, buffer, 7);
    else
        f->ip = f->bx;
}

static void mappings(void)
{
    uint8_t *other = window + ((uintptr_t)buffer & (BIG - 1));
    uint64_t good = 0, direct = 0, sum = 0;
    map(window, buffer, 7);
    map(twin, buffer, 7);
    for (unsigned i = 0; i < 3000; i++) {
        uint8_t *p = buffer + 0x8000 + rnd() % 0x1000;
        put_mov_ret(p, i);
        call(p, 0);
        store32(other + (p - buffer) + 1, i * 3);
        serialise();
        good += (uint32_t)call(p, 0) == i * 3;
        sum += (uint32_t)call(other + (p - buffer), 0);
        store32(p + 1, i * 5);
        serialise();
        direct += (uint32_t)call(other + (p - buffer), 0) == i * 5;
    }
    figure("written by another mapping", good, 3000);
    figure("run by another mapping", direct, 3000);
    figure("the same in both", sum, 3 * 2999 * 1500ull);

    /* The same address over two frames; called from here, and by direct jumps of code that stays.
     */
    put_mov_ret(frame_a + 0x123, 1);
    put_mov_ret(frame_b + 0x123, 2);
    uint8_t *c = buffer + 0x9000;
    c[0] = 0xe8; /* call; ret */
    store32(c + 1, (uint32_t)(uintptr_t)(window + 0x123 - (c + 5)));
    c[5] = 0xc3;
    c[16] = 0x85; /* test eax, eax; je; ret */
    c[17] = 0xc0;
    c[18] = 0x0f;
    c[19] = 0x84;
    store32(c + 20, (uint32_t)(uintptr_t)(window + 0x123 - (c + 24)));
    c[24] = 0xc3;
    sum = 0;
    for (unsigned i = 0; i < 2000; i++) {
        const uint8_t *frame = i % 3 == 1 ? frame_b : frame_a;
        if (i % 2) {
            map(window, frame, 7);
        } else {
            pd[(uintptr_t)window / BIG] = (uintptr_t)frame | 0x87;
            WRITE_CR(3, READ_CR(3));
        }
        sum += 1 * call(window + 0x123, 0) + 10 * call(c, 0) + 100 * call(c + 16, 0);
    }
    figure("another frame at the same address", sum, 111 * (2000 + 667));

    /* An instruction that goes on in a page that is now this frame, now that: reached by a call, by
     * jumps in its own page and by falling into it. */
    uint8_t *const next_c = frame_b + BIG, *const next_d = frame_b + 2 * BIG;
    map(window, frame_a, 7);
    sum = 0;
    for (unsigned k = 1; k < 5; k++) {
        uint8_t *at = window + BIG - k, *in = at - 32;
        for (unsigned c = 0; c < 2; c++) {
            map(window + BIG, c ? next_d : next_c, 7);
            put_mov_ret(at, 0x01010101 * (c + 1));
        }
        in[0] = 0x85; /* test eax, eax; je at; jmp at */
        in[1] = 0xc0;
        in[2] = 0x74;
        in[3] = (uint8_t)(at - (in + 4));
        in[4] = 0xeb;
        in[5] = (uint8_t)(at - (in + 6));
        for (unsigned c = 6; c < 32; c++)
            in[c] = 0x90;
        for (unsigned i = 0; i < 600; i++) {
            map(window + BIG, i % 3 == 1 ? next_d : next_c, 7);
            if (i % 2)
                WRITE_CR(3, READ_CR(3));
            sum += (call(at, 0) & 0xff000000) >> 24;
            sum += (call(in, i & 1) & 0xff000000) >> 24;
            sum += (call(in + 6, 0) & 0xff000000) >> 24;
        }
    }
    figure("an instruction into another frame", sum, 4 * 3 * (600 + 200));

    /* A store to code through a read-only page: the fault, then the store. */
    trap_handler[14] = on_pf;
    put_mov_ret(buffer + 0xa000, 0);
    good = 0;
    for (unsigned i = 0; i < 300; i++) {
        map(window, buffer, 5);
        __asm__ volatile("movl %k0, (%1)" ::"r"((uintptr_t)i), "r"(other + 0xa001), "b"(0x5afe)
                         : "memory");
        serialise();
        good += (uint32_t)call(buffer + 0xa000, 0) == i && fault_error == 3;
    }
    figure("through a page that was read-only", good, 300);
    figure("its faults", faults, 300);

    /* Half of a store's bytes are code, the other half is not there: nothing may change. */
    map(window, frame_a, 7);
    map(window + BIG, 0, 0);
    uint8_t *end = window + BIG - 6;
    put_mov_ret(end, 0x1234567);
    good = faults = 0;
    for (unsigned i = 0; i < 100; i++) {
        call(end, 0);
        __asm__ volatile("mov $1f, %%ebx; movl $0, (%0); 1:" ::"r"(window + BIG - 2)
                         : "ebx", "memory");
        good += (uint32_t)call(end, 0) == 0x1234567 && faults == i + 1;
    }
    figure("a store that faults half-way", good, 100);
}

/* ---- emitting code, as a just-in-time compiler does ---- */

struct step {
    uint8_t op, count;
    uint32_t imm;
};

static uint8_t *emit(uint8_t *p, const struct step *s)
{
    static const uint8_t imm32[] = { 0x05, 0x2d, 0x35, 0x0d, 0x25 };
    if (s->op < 5) { /* add sub xor or and */
        *p++ = imm32[s->op];
        store32(p, s->imm);
        return p + 4;
    }
    switch (s->op) {
    case 5: /* imul eax, eax, imm */
        *p++ = 0x69;
        *p++ = 0xc0;
        store32(p, s->imm);
        return p + 4;
    case 6: /* rol eax, n */
        *p++ = 0xc1;
        *p++ = 0xc0;
        *p++ = s->count;
        return p;
    case 7: /* lea eax, [eax + eax * 4] */
        *p++ = 0x8d;
        *p++ = 0x04;
        *p++ = 0x80;
        return p;
    default: /* test eax, imm; jz over; not eax */
        *p++ = 0xa9;
        store32(p, s->imm);
        p += 4;
        *p++ = 0x74;
        *p++ = 2;
        *p++ = 0xf7;
        *p++ = 0xd0;
        return p;
    }
}

static uint32_t compute(const struct step *s, uint32_t v)
{
    switch (s->op) {
    case 0: return v + s->imm;
    case 1: return v - s->imm;
    case 2: return v ^ s->imm;
    case 3: return v | s->imm;
    case 4: return v & s->imm;
    case 5: return v * s->imm;
    case 6: return s->count % 32 ? v << s->count % 32 | v >> (32 - s->count % 32) : v;
    case 7: return v * 5;
    default: return v & s->imm ? ~v : v;
    }
}

static void just_in_time(void)
{
    uint64_t good = 0, runs = 0;
    uint32_t hash = 0;
    uint8_t *p = buffer;
    for (unsigned i = 0; i < 4000; i++) {
        struct step step[40];
        unsigned n = 1 + rnd() % 40, times = 1 + rnd() % 20;
        if (p + 40 * 9 + 1 > buffer + sizeof(buffer))
            p = buffer + rnd() % 64;
        uint8_t *code = p;
        for (unsigned k = 0; k < n; k++) {
            step[k] = (struct step){ (uint8_t)(rnd() % 9), (uint8_t)(rnd() % 32), rnd() };
            p = emit(p, &step[k]);
        }
        *p++ = 0xc3;
        for (unsigned t = 0; t < times; t++) {
            uint32_t v = rnd(), want = v;
            for (unsigned k = 0; k < n; k++)
                want = compute(&step[k], want);
            v = (uint32_t)call(code, v);
            good += v == want;
            runs++;
            hash = (hash << 5 | hash >> 27) ^ v;
        }
    }
    figure("functions emitted and run", good, runs);
    figure("their results", hash, 0x626fa28c);
}

/* ---- by an interrupt, by ring 3 ---- */

static void on_tick(struct trap_frame *f)
{
    (void)f;
    fn_wait_at[0] = fn_wait_at[1] = 0x90;
    pic_eoi(0);
}

static void interrupts(void)
{
    uint64_t sum = 0;
    pic_init();
    trap_handler[0x20] = on_tick;
    pit_periodic(200);
    pic_unmask(0);
    sti();
    for (unsigned i = 0; i < 20; i++) {
        fn_wait_at[0] = 0xeb;
        fn_wait_at[1] = 0xfe;
        sum += call(fn_wait, i);
    }
    cli();
    figure("an endless loop ended by an interrupt", sum, 210);
}

static uint32_t text_sum(void)
{
    uint32_t sum = 0;
    for (unsigned i = 0; i < 5000; i++)
        sum = sum * 31 + trap_stubs[i];
    return sum;
}

void guest_main(void)
{
    static uint8_t stack3[4096] __attribute__((aligned(16)));
    static const uint8_t jump_into_itself[] = { 0xeb, 0xff, 0xc0, 0xc3 }; /* jmp .+1 = inc eax */
    uint32_t before = text_sum(), own = (uint32_t)call2(fn_sum, 0, 1);
    tables_init();
    paging_on();
    for (unsigned i = 0; i < sizeof(buffer); i++)
        buffer[i] = 0xcc;
    uint32_t want = 0;
    for (uint8_t *p = fn_sum; p < fn_sum_at; p++)
        want += *p;
    figure("code that sums itself up", (uint32_t)call2(fn_sum, 0, 50), want * 50);
    same_stream();
    figure("an instruction in another", call(jump_into_itself, 41), 42);
    other_pages();
    frames();
    mappings();
    just_in_time();
    figure("ring 3", ring3_run((void (*)(void))(uintptr_t)fn_user, (uintptr_t)stack3 + 4096),
           499500);
    figure("and ring 0 after it", rounds(fn_next, 1000), 499500);
    interrupts();
    report("all other code is as it was", text_sum() == before && call2(fn_sum, 0, 1) == own);
}
