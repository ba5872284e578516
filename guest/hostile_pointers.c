/* SPDX-License-Identifier: BSD-2-Clause */
/* The hostile program: pointers to wherever a monitor might live, in every form of access. -DMAPS:
 * asks on the serial port for further ranges to try, the monitor's own. */
#include "guest/hostile_user.h"

/* Loads, then stores at n addresses, step apart; each must fault, at its own address. */
static bool sweep(uint64_t from, uint64_t step, uint64_t n)
{
    /* access [rdi]; add rdi, rsi; dec ecx; jnz */
    static const char *const loop[] = { "\x8a\x07\x48\x01\xf7\xff\xc9\x75\xf7",
                                        "\x48\xf7\x17\x48\x01\xf7\xff\xc9\x75\xf6" };
    bool good = true;
    for (unsigned kind = 0; kind < 2; kind++) {
        code_new();
        put_bytes(loop[kind], 9 + kind);
        put(HLT);
        registers(0);
        in.di = from;
        in.si = step;
        in.cx = n;
        in.bx = code_at + 2 + kind;
        sweep_good = 0;
        sweep_end = code_at + 9 + kind;
        try();
        sweep_end = 0;
        if (sweep_good != n) {
            complain("sweep", from);
            line("faults", sweep_good);
            good = false;
        }
    }
    return good;
}

static const struct code reach[] = {
    I("\x8a\x07", 'm'),                 /* mov al, [rdi] */
    I("\x48\x8b\x07", 'm'),             /* mov rax, [rdi] */
    I("\x88\x07", 'm'),                 /* mov [rdi], al */
    I("\x48\x31\x07", 'm'),             /* xor [rdi], rax */
    I("\xf0\x48\x0f\xc1\x07", 'm'),     /* lock xadd */
    I("\xf0\x48\x0f\xb1\x07", 'm'),     /* lock cmpxchg */
    I("\xf0\x48\x0f\xc7\x0f", 'm'),     /* lock cmpxchg16b */
    I("\x48\x87\x07", 'm'),             /* xchg */
    I("\x48\x0f\xba\x2f\x05", 'm'),     /* bts qword [rdi], 5 */
    I("\xf3\xa4", 'm'),                 /* rep movsb */
    I("\xf3\x48\xab", 'm'),             /* rep stosq */
    I("\xac", 'm'),                     /* lodsb */
    I("\xf2\xae", 'm'),                 /* repne scasb */
    I("\xf3\xa6", 'm'),                 /* repe cmpsb */
    I("\xff\x37", 'm'),                 /* push [rdi] */
    I("\x8f\x07", 'm'),                 /* pop [rdi] */
    I("\xff\x17", 'm'),                 /* call [rdi] */
    I("\xff\x27", 'm'),                 /* jmp [rdi] */
    I("\x48\xff\x2f", 'm'),             /* far jmp [rdi] */
    I("\xc9", 'm'),                     /* leave */
    I("\xd7", 'm'),                     /* xlat */
    I("\x64\x8a\x07", 'm'),             /* fs: */
    I("\x65\x8a\x07", 'm'),             /* gs: */
    I("\x65\x48\x89\x07", 'm'),         /* gs: store */
    I("\x66\x65\x2e\x8b\x07", 'm'),     /* several prefixes */
    I("\x0f\xae\x3f", 'm'),             /* clflush */
    I("\x0f\xc3\x07", 'm'),             /* movnti */
    I("\x0f\x10\x07", 'm'),             /* movups */
    I("\x0f\x11\x07", 'm'),             /* its store */
    I("\x66\x0f\x6f\x07", 'm'),         /* movdqa */
    I("\xf2\x0f\x58\x07", 'm'),         /* addsd */
    I("\x66\x0f\xe7\x07", 'm'),         /* movntdq */
    I("\xd9\x07", 'm'),                 /* fld */
    I("\xdf\x3f", 'm'),                 /* fistp */
    I("\xd9\x37", 'm'),                 /* fnstenv */
    I("\xdd\x37", 'm'),                 /* fnsave */
    I("\xdd\x27", 'm'),                 /* frstor */
    I("\x0f\xae\x07", 'm'),             /* fxsave */
    I("\x48\x0f\xae\x0f", 'm'),         /* fxrstor */
    I("\x48\x0f\xae\x27", 'a'),         /* xsave */
    I("\x48\x0f\xae\x2f", 'a'),         /* xrstor */
    I("\xc5\xfc\x10\x07", 'a'),         /* vmovups ymm */
    I("\xc5\xfc\x11\x07", 'a'),         /* its store */
    I("\xc4\xe2\x7d\x18\x07", 'a'),     /* vbroadcastss */
    I("\xc4\xe2\xf3\xf5\x07", 'a'),     /* pdep */
    I("\x62\xf1\x7c\x48\x10\x07", 'a'), /* vmovups zmm */
    I("\x62\xf1\x7c\x48\x11\x07", 'a'), /* its store */
    I("\x58", 's'),                     /* pop rax */
    I("\x5c", 's'),                     /* pop rsp */
    I("\x50", 's'),                     /* push rax */
    I("\x68\x05\x06\x07\x08", 's'),     /* push imm */
    I("\x9c", 's'),                     /* pushf */
    I("\x9d", 's'),                     /* popf */
    I("\xc3", 's'),                     /* ret */
    I("\xc2\x10\x00", 's'),             /* ret 16 */
    I("\x48\xcb", 's'),                 /* far ret */
    I("\x48\xcf", 's'),                 /* iretq */
    I("\xe8\x01\x00\x00\x00", 's'),     /* call */
    I("\xc8\x10\x00\x02", 's'),         /* enter */
    I("\xff\xd7", 'x'),                 /* call rdi */
    I("\xff\xe7", 'x'),                 /* jmp rdi */
    I("\x57\xc3", 'x'),                 /* push rdi; ret */
    I("\x57\xf3\xc3", 'x'),
    I("\x6a\x4b\x57\x48\xcb", 'x'),                 /* far ret to ring 3 */
    I("\x6a\x43\x50\x9c\x6a\x4b\x57\x48\xcf", 'x'), /* iretq to ring 3 */
};

static bool is_canonical(uint64_t v) { return (uint64_t)((int64_t)(v << 16) >> 16) == v; }

static bool reach_at(uint64_t v)
{
    const bool canonical = is_canonical(v);
    bool good = true;
    for (unsigned i = 0; i < sizeof(reach) / sizeof(reach[0]); i++) {
        const struct code *c = &reach[i];
        code_new();
        put_bytes(c->bytes, c->len);
        registers(v);
        if (c->want == 's')
            in.sp = v;
        else if (c->want == 'x')
            in.ax = in.sp;
        data_fresh();
        try();
        bool ok = (vector == V_PF && cr2 - (v - 64) < 64 + 4096 && (error & 4)) ||
                  ((!canonical || !is_canonical(v - 64)) && (vector == V_GP || vector == V_SS));
        if (c->want == 'a')
            ok |= vector == V_UD && out.ip == code_at;
        if (!ok) {
            complain("reach", v);
            line("way", i);
            good = false;
        }
    }
    /* By an address in the instruction, and by a segment's base. */
    for (unsigned i = 0; i < 2; i++) {
        code_new();
        put(0x48);
        put(i ? 0xa3 : 0xa1);
        put64(v);
        registers(0);
        try();
        good &= canonical ? vector == V_PF && cr2 == v : vector == V_GP;
    }
    for (unsigned i = 0; i < 2 && canonical; i++) {
        wrmsr(0xc0000100 + i, v);
        code_new();
        put(0x64 + (uint8_t)i);
        put_bytes("\x8b\x04\x25\x00\x00\x00\x00", 7);
        registers(0);
        try();
        good &= vector == V_PF && cr2 == v;
        wrmsr(0xc0000100 + i, 0);
    }
    return good;
}

/* The same address in the guest's own tables leads to the guest's page and nowhere else. */
static bool mapped_at(uint64_t v)
{
    static uint64_t table[3][512] __attribute__((aligned(4096)));
    const unsigned top = v >> 39 & 511;
    if (pml4[top] || v >> 47)
        return true;
    pml4[top] = (uintptr_t)table[0] | 7;
    table[0][v >> 30 & 511] = (uintptr_t)table[1] | 7;
    table[1][v >> 21 & 511] = (uintptr_t)table[2] | 7;
    table[2][v >> 12 & 511] = (uintptr_t)data | 7;
    code_new();
    put_bytes("\x48\x8b\x07\x48\x89\x47\x08\x48\x29\x07",
              10); /* rax = [rdi]; [rdi+8] = rax; [rdi] -= rax */
    registers(v);
    ((uint64_t *)data)[0] = v ^ 0x5555;
    ((uint64_t *)data)[1] = 0;
    try();
    bool good = vector == V_GP && out.ip == code_at + 10 && out.ax == (v ^ 0x5555) &&
                ((uint64_t *)data)[0] == 0 && ((uint64_t *)data)[1] == (v ^ 0x5555);
    if (!good)
        complain("mapped", v);
    pml4[top] = 0;
    table[0][v >> 30 & 511] = table[1][v >> 21 & 511] = table[2][v >> 12 & 511] = 0;
    WRITE_CR(3, READ_CR(3));
    return good;
}

void pointers(void)
{
    static const uint64_t like[] = { 0x10000,
                                     0x400000,
                                     0x555555554000,
                                     0x5555556a0000,
                                     0x560000000000,
                                     0x55d0c0de0000,
                                     0x7f0000000000,
                                     0x7f8000000000,
                                     0x7ffff7fc1000,
                                     0x7ffff7ffd000,
                                     0x7ffffffde000,
                                     0x7fffffffe000,
                                     0x7ffff7a00000,
                                     0x7fff7fff8000,
                                     0x10007fff8000,
                                     0x600000000000,
                                     0x200000000000,
                                     0xffffffffff600000,
                                     0xffff888000000000,
                                     0xffffffff81000000,
                                     0xfffffffffffff000,
                                     0xffff800000000000 };
    bool good = true, wild = true, own = true;
    good &= sweep(0x80000000, 1 << 30, 0x1fffe);          /* the lower half */
    good &= sweep(0xffff800000000000, 1ul << 33, 0x4000); /* the upper half */
    for (unsigned i = 0; i < sizeof(like) / sizeof(like[0]); i++)
        if (like[i] >= 1 << 30)
            good &=
                sweep(like[i], like[i] >> 63 ? 4096 : 0x200000, 2000 / (1 + (like[i] >> 47 != 0)));
    good &= sweep(0x7ffffff00000, 4096, 256);   /* up to the end of the lower half */
    good &= sweep(0x00007ffffffff000, 64, 128); /* … and across */
    good &= sweep(0x8000000000000000, 1ul << 48, 0x7000);
    report("sweeps over both halves only fault", good);
    for (unsigned i = 0; i < sizeof(like) / sizeof(like[0]); i++)
        wild &= reach_at(like[i]);
    for (unsigned i = 0; i < sizeof(noncanonical) / sizeof(noncanonical[0]); i++)
        wild &= reach_at(noncanonical[i]);
    report("every way to addresses like a monitor's only faults", wild);
    for (unsigned i = 0; i < sizeof(like) / sizeof(like[0]); i++)
        if (like[i] > 1ul << 39)
            own &= mapped_at(like[i]);
    report("mapped by the guest, they are the guest's", own);
}

#ifdef MAPS
static char get(void)
{
    while (!(inb(0x3fd) & 1))
        ;
    return (char)inb(0x3f8);
}

static uint64_t get_hex(void)
{
    uint64_t v = 0;
    char c = get();
    while (c == ' ' || c == '\n')
        c = get();
    for (; c != ' ' && c != '\n'; c = get())
        v = v << 4 | (uint64_t)(c <= '9' ? c - '0' : c - 'a' + 10);
    return v;
}

/* Start and end of each range, in hex; 0 0 ends the list. */
void monitors_own(void)
{
    static uint64_t range[512][2];
    unsigned n = 0;
    bool good = true;
    print("maps?\n");
    do {
        range[n][0] = get_hex();
        range[n][1] = get_hex();
    } while (range[n][1] && ++n < 512);
    for (unsigned i = 0; i < n; i++) {
        uint64_t pages = (range[i][1] - range[i][0]) >> 12, step = 1 + pages / 4096;
        if (range[i][0] < 1ul << 39)
            continue;
        good &= sweep(range[i][0], step << 12, pages / step);
        good &= reach_at(range[i][0]) && reach_at(range[i][1] - 4096) && mapped_at(range[i][0]);
        good &= reach_at(range[i][0] + (pages / 2 << 12));
    }
    line("ranges of the monitor", n);
    report("the monitor's own addresses only fault", good && n > 10);
}
#endif
