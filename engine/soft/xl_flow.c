/* SPDX-License-Identifier: BSD-2-Clause */
/* The translator: stack, branches, links between blocks, and a block as a whole. */
#include <string.h>

#include "engine/soft/soft.h"
#include "isa/x86/emu.h"

static void stack_move(struct xl_tr *t, int32_t off) { xl_lea(t, t->mode == 8, 8, 8, -1, 0, off); }

/* A word of the code's size, sign-extended or cut. */
static void store_imm(struct xl_tr *t, const struct xl_ref *ref, uint64_t v)
{
    const unsigned w = t->mode == 8;

    if (w && (uint64_t)(int32_t)v != v) {
        xl_imm(t, XL_R11, v);
        xl_op_ref(t, 1, 0x89, XL_R11, ref);
        return;
    }
    xl_op_ref(t, w, 0xc7, 0, ref);
    xl_i32(t, (uint32_t)v);
}

static void store_next(struct xl_tr *t, const struct xl_ref *ref)
{
    if (!t->copies) {
        store_imm(t, ref, t->next);
        return;
    }
    xl_imm_moves(t, XL_R11, t->next, XL_RELOC_RIP);
    xl_op_ref(t, 1, 0x89, XL_R11, ref);
}

bool xl_stack(struct xl_tr *t, const struct x86_insn *in)
{
    const unsigned w = t->mode == 8, n = t->mode;
    const struct x86_operand *o = &in->operand[0];

    if (in->osz != n)
        return false;
    struct xl_ref ref;
    unsigned cold = 0;
    switch (in->op) {
    case X86_OP_PUSH:
        cold = xl_cold_new(t, in);
        if (o->kind == X86_OPERAND_MEM) {
            if (!xl_operand(t, in, n, false, cold, &ref))
                return false;
            xl_op_ref(t, w, 0x8b, XL_R10, &ref);
            xl_gs(t, 1, 0x89, XL_R10, XL_GS(tmp));
        } else if (o->kind != X86_OPERAND_GPR && o->kind != X86_OPERAND_IMM) {
            return false;
        }
        xl_stack_operand(t, -(int32_t)n, n, true, cold, &ref);
        if (o->kind == X86_OPERAND_IMM) {
            store_imm(t, &ref, in->imm);
        } else {
            unsigned src = XL_R11;
            if (o->kind == X86_OPERAND_MEM)
                xl_gs(t, 1, 0x8b, XL_R11, XL_GS(tmp));
            else
                src = xl_get(t, o->reg, XL_R11);
            xl_op_ref(t, w, 0x89, src, &ref);
        }
        stack_move(t, -(int32_t)n);
        return true;
    case X86_OP_POP:
        if (o->kind != X86_OPERAND_GPR)
            return false;
        xl_stack_operand(t, 0, n, false, xl_cold_new(t, in), &ref);
        if (xl_host(o->reg) >= 0) {
            xl_op_ref(t, w, 0x8b, (unsigned)xl_host(o->reg), &ref);
            if (o->reg != X86_RSP)
                stack_move(t, (int32_t)n);
        } else {
            xl_op_ref(t, w, 0x8b, XL_R11, &ref);
            stack_move(t, (int32_t)n);
            xl_put_from(t, w, o->reg, XL_R11);
        }
        return true;
    case X86_OP_LEAVE:
        xl_base_operand(t, X86_RBP, 0, n, false, xl_cold_new(t, in), &ref);
        xl_op_ref(t, w, 0x8b, XL_R11, &ref); /* which may fault */
        xl_lea(t, w, 8, X86_RBP, -1, 0, (int32_t)n);
        xl_mov(t, w, X86_RBP, XL_R11);
        return true;
    default: return false;
    }
}

enum { JUMP = 0xe9, CALL = 0xe8 };

struct xl_link *xl_new_link(struct xl_tr *t, uint64_t rip, enum xl_reach reach)
{
    struct xl_link *l = xl_arena(t->xl, sizeof(*l));

    *l = (struct xl_link){ .rip = rip,
                           .key = t->key & ~(uint32_t)XL_KEY_TWIN,
                           .reach = (uint8_t)reach };
    t->link[t->links++] = l;
    return l;
}

struct xl_link *xl_slot_for(struct xl_tr *t, uint64_t rip)
{
    struct xl *xl = t->xl;
    struct xl_link **l = &xl->slot_link[(rip ^ rip >> 14) % ARRAY_LEN(xl->slot_link)];

    if (!*l || (*l)->rip != rip || (*l)->key != (t->key & ~(uint32_t)XL_KEY_TWIN)) {
        *l = xl_new_link(t, rip, XL_SLOT);
        (*l)->patch = xl->slots++;
    }
    return *l;
}

/* In the page the block starts in, and not so near its end that an instruction there may reach into
 * the next. */
static bool near(const struct xl_tr *t, uint64_t rip)
{
    return !((rip ^ t->start) >> 12) && (rip & 0xfff) + 15 <= 0x1000;
}

/* A jump or call (op, or a JCC's 0f 8x) that leaves by a new link until its target exists. The stub
 * is out of line. */
static void link_op(struct xl_tr *t, unsigned op, uint64_t rip)
{
    struct xl *xl = t->xl;

    if (t->user && !near(t, rip)) {
        xl_gs(t, 0, 0xff, op == CALL ? 2 : 4,
              XL_VIEW(slot[0]) + (int32_t)(8 * xl_slot_for(t, rip)->patch));
        xl_reloc(t, XL_RELOC_SLOT, t->p - 4);
        return;
    }
    struct xl_link *l = xl_new_link(t, rip, near(t, rip) ? XL_PAGE : XL_KERNEL);
    if (op > 0xff)
        xl_b(t, 0x0f);
    xl_b(t, op & 0xff);
    xl_reloc(t, XL_RELOC_LINK, t->p);
    l->patch = (uint32_t)(t->p - xl->rw);
    xl_i32(t, 0);
}

void xl_link_stubs(struct xl_tr *t)
{
    struct xl *xl = t->xl;

    for (unsigned i = 0; i < t->links; i++) {
        struct xl_link *l = t->link[i];
        l->stub = (uint32_t)(t->p - xl->rw);
        if (l->reach == XL_SLOT) {
            xl->slot_stub[l->patch] = l->stub;
        } else {
            uint32_t rel = l->stub - (l->patch + 4);
            memcpy(xl->rw + l->patch, &rel, 4);
        }
        xl_imm(t, XL_R9, (uint64_t)(uintptr_t)l);
        xl_jmp(t, xl->rw + xl->leave_link);
    }
}

/* Its own stub. */
void xl_goto_twin(struct xl_tr *t, uint64_t rip)
{
    struct xl_link *l = xl_arena(t->xl, sizeof(*l));

    xl_b(t, JUMP);
    *l = (struct xl_link){
        .rip = rip,
        .key = t->key & ~(uint32_t)XL_KEY_TWIN,
        .twin = true,
        .reach = XL_PAGE,
        .patch = (uint32_t)(t->p - t->xl->rw),
    };
    xl_reloc(t, XL_RELOC_TWIN, t->p);
    xl_i32(t, 0);
    l->stub = (uint32_t)(t->p - t->xl->rw);
    xl_imm(t, XL_R9, (uint64_t)(uintptr_t)l);
    xl_jmp(t, t->xl->rw + t->xl->leave_link);
}

/* Leaves to rip if something wants attention. Flags stay. */
static void poll(struct xl_tr *t, uint64_t rip)
{
    xl_mov(t, 1, XL_R10, X86_RCX);
    xl_gs(t, 0, 0x8b, X86_RCX, XL_GS(poll));
    uint8_t *go = xl_jrcxz(t);
    xl_mov(t, 1, X86_RCX, XL_R10);
    xl_imm_moves(t, XL_R9, rip, XL_RELOC_RIP);
    xl_jmp(t, t->xl->rw + t->xl->dispatch[t->user]); /* which finds its salt spoilt */
    xl_here(t, go);
    xl_mov(t, 1, X86_RCX, XL_R10);
}

static uint64_t cut(const struct xl_tr *t, uint64_t rip)
{
    return t->mode == 8 ? rip : (uint32_t)rip;
}

void xl_goto(struct xl_tr *t, uint64_t rip)
{
    rip = cut(t, rip);
    if (rip < t->next) /* it may close a loop */
        poll(t, rip);
    link_op(t, JUMP, rip);
}

/* Jumps that need more than a jump. */
static void out_of_line(struct xl_tr *t)
{
    for (unsigned i = 0; i < t->outs; i++) {
        const struct xl_out *o = &t->out[i];
        xl_here32(t, o->rel32);
        t->next = o->next;
        xl_goto(t, o->rip);
    }
}

static void set_site(struct xl_tr *t, int64_t rsp)
{
    if (t->mode == 8) {
        struct xl_site *s = xl_arena(t->xl, sizeof(*s));
        *s = (struct xl_site){ .rip = t->rip, .rsp = rsp };
        xl_gs(t, 0, 0xc7, 0, XL_GS(site));
        xl_i32(t, (uint32_t)((uint8_t *)s - t->xl->arena));
        xl_reloc(t, XL_RELOC_SITE, t->p - 4);
    }
}

/* The caller's address and the salt, for the return to compare. */
static void push_return(struct xl_tr *t)
{
    xl_imm_moves(t, XL_R10, 0 - cut(t, t->next), XL_RELOC_NEG);
    xl_gs(t, 1, 0x8b, XL_R11, XL_MINUS_SALT(t->user));
    xl_lea(t, 1, XL_R10, XL_R10, XL_R11, 0, 0);
    xl_b(t, 0x41);
    xl_b(t, 0x52); /* push r10 */
}

static void after_call(struct xl_tr *t)
{
    xl_lea(t, 1, X86_RSP, X86_RSP, -1, 0, 8);
    link_op(t, JUMP, cut(t, t->next));
}

/* To r9, which the jump cache never has if it is not canonical. */
static void indirect_jump(struct xl_tr *t)
{
    xl_here(t, xl_look_up(t, false));
    set_site(t, 0);
    xl_jmp(t, t->xl->rw + t->xl->miss);
}

static void indirect_call(struct xl_tr *t)
{
    xl_gs(t, 1, 0x8b, XL_R9, XL_GS(tmp));
    push_return(t);
    uint8_t *miss = xl_look_up(t, true);
    xl_b(t, 0xeb); /* where the call comes back to */
    uint8_t *back = t->p;
    xl_b(t, 0);
    xl_here(t, miss);
    set_site(t, -(int64_t)t->mode);
    xl_call(t, t->xl->rw + t->xl->miss);
    xl_here(t, back);
    after_call(t);
}

/* r9: the return address. */
static void indirect_return(struct xl_tr *t, int64_t rsp)
{
    xl_mov(t, 1, XL_R10, X86_RCX);
    xl_gs(t, 1, 0x8b, XL_R11, XL_SALT(t->user));
    xl_rm(t, 1, 0x8b, X86_RCX, X86_RSP, 8);
    xl_lea(t, 1, XL_R11, XL_R11, XL_R9, 0, 0);
    xl_lea(t, 1, X86_RCX, X86_RCX, XL_R11, 0, 0);
    uint8_t *hit = xl_jrcxz(t);
    xl_mov(t, 1, X86_RCX, XL_R10);
    set_site(t, rsp);
    xl_jmp(t, t->xl->rw + t->xl->dispatch[t->user]);
    xl_here(t, hit);
    xl_mov(t, 1, X86_RCX, XL_R10);
    xl_b(t, 0xc3);
}

static bool target_ok(const struct xl_tr *t, uint64_t rip)
{
    return t->mode != 8 || (uint64_t)((int64_t)(rip << 16) >> 16) == rip;
}

bool xl_branch(struct xl_tr *t, const struct x86_insn *in)
{
    const unsigned w = t->mode == 8, n = t->mode;
    const uint64_t to = t->next + in->imm;
    struct xl_ref ref;
    uint8_t *at;
    unsigned cold;

    if (in->osz != n)
        return false;
    switch (in->op) {
    case X86_OP_JMP:
        if (!target_ok(t, to))
            return false;
        xl_goto(t, to);
        return true;
    case X86_OP_JCC: {
        if (!target_ok(t, to))
            return false;
        const uint64_t rip = cut(t, to);
        if (rip >= t->next && (!t->user || near(t, rip))) {
            link_op(t, 0x0f80 | in->cc, rip);
        } else {
            xl_b(t, 0x0f);
            xl_b(t, 0x80 | in->cc);
            t->out[t->outs++] = (struct xl_out){ .rel32 = t->p, .rip = rip, .next = t->next };
            xl_i32(t, 0);
        }
        if (t->last)
            xl_goto(t, t->next);
        return true;
    }
    case X86_OP_LOOP:
    case X86_OP_JCXZ:
        if (!target_ok(t, to) || in->asz < 4)
            return false;
        if (in->op == X86_OP_LOOP)
            xl_lea(t, in->asz == 8, X86_RCX, X86_RCX, -1, 0, -1);
        if (in->asz == 4)
            xl_b(t, 0x67);
        at = xl_jrcxz(t);
        /* The way not taken by jrcxz may be longer than it reaches. */
        xl_b(t, 0xe9);
        uint8_t *other = t->p;
        xl_i32(t, 0);
        xl_here(t, at);
        xl_goto(t, in->op == X86_OP_LOOP ? t->next : to);
        xl_here32(t, other);
        xl_goto(t, in->op == X86_OP_LOOP ? to : t->next);
        return true;
    case X86_OP_CALL:
    case X86_OP_CALL_IND:
    case X86_OP_JMP_IND: {
        const struct x86_operand *o = &in->operand[0];
        if (in->op == X86_OP_CALL) {
            if (!target_ok(t, to))
                return false;
            cold = xl_cold_new(t, in);
        } else if (o->kind == X86_OPERAND_MEM) {
            cold = xl_cold_new(t, in);
            if (!xl_operand(t, in, n, false, cold, &ref))
                return false;
            xl_op_ref(t, w, 0x8b, XL_R9, &ref);
        } else if (o->kind == X86_OPERAND_GPR) {
            cold = xl_cold_new(t, in);
            xl_get_to(t, w, XL_R9, o->reg);
        } else {
            return false;
        }
        if (in->op == X86_OP_JMP_IND) {
            indirect_jump(t);
            return true;
        }
        if (in->op == X86_OP_CALL_IND)
            xl_gs(t, 1, 0x89, XL_R9, XL_GS(tmp));
        xl_stack_operand(t, -(int32_t)n, n, true, cold, &ref);
        store_next(t, &ref);
        stack_move(t, -(int32_t)n);
        if (in->op == X86_OP_CALL_IND) {
            indirect_call(t);
            return true;
        }
        if (cut(t, to) < t->next)
            poll(t, cut(t, to));
        push_return(t);
        link_op(t, CALL, cut(t, to));
        after_call(t);
        return true;
    }
    case X86_OP_RET:
        xl_stack_operand(t, 0, n, false, xl_cold_new(t, in), &ref);
        xl_op_ref(t, w, 0x8b, XL_R9, &ref);
        stack_move(t, (int32_t)(n + (uint16_t)in->imm));
        indirect_return(t, (int64_t)n + (uint16_t)in->imm);
        return true;
    default: return false;
    }
}

/* Adds what follows a block where its last instruction does not always leave it, as long as that
 * lies in the same page; returns the number of instructions. */
static unsigned collect(struct soft_vcpu *v, struct soft_block *sb, struct xl_block *b,
                        const struct x86_insn **insn)
{
    uint64_t rip = b->rip;
    unsigned n = 0;

    for (unsigned piece = 0;; piece++) {
        for (unsigned i = 0; i < sb->count; i++)
            insn[n++] = &sb->insn[i];
        const struct x86_insn *last = insn[n - 1];
        rip += sb->bytes;
        if (piece + 1 == XL_MAX_PIECES || (rip ^ b->rip) >> 12 ||
            (soft_ends_block(last) && (last->op != X86_OP_JCC || last->osz != v->cpu.code)) ||
            xl_changes_masks(last))
            return n;
        sb = soft_block_behind(v, sb);
        if (!sb || n + sb->count > XL_MAX_INSNS ||
            (!v->lock && xl_has(v, sb, rip - v->xl.shift, b->key)))
            return n;
        xl_add_part(v, sb, b);
    }
}

/* The flags that are needed where a decoded block begins; kept in a byte: OF in bit 1. */
static uint32_t needs(struct soft_block *sb)
{
    uint32_t need = X86_AFLAGS;

    if (!sb->needs) {
        for (unsigned i = sb->count; i-- > 0;)
            need = x86_flags_before(&sb->insn[i], need) & X86_AFLAGS;
        sb->needs = (uint8_t)((need & 0xff) | (need & X86_OF ? 2 : 0) | 8);
    }
    return (sb->needs & X86_AFLAGS) | (sb->needs & 2 ? X86_OF : 0);
}

/* Where the code at rip lies, if b was translated from its page, or in the kernel, whose pages keep
 * their places. */
static const uint8_t *code_at(struct soft_vcpu *v, const struct soft_block *first,
                              const struct xl_block *b, uint64_t rip)
{
    const struct x86_tlb_entry *e;

    if (!((rip ^ b->rip) >> 12))
        return first->host + (int64_t)(rip - b->rip);
    e = x86_tlb_entry(&v->cpu, rip, 0);
    if (v->cpu.cpl || v->lock || e->x != rip >> 12)
        return NULL;
    return (const uint8_t *)(uintptr_t)(rip + e->addend);
}

/* The flags that are needed at rip, where b goes on: all, unless a decoded block there says
 * otherwise. With that block b is dropped. */
static uint32_t flags_needed(struct soft_vcpu *v, const struct soft_block *first,
                             struct xl_block *b, uint64_t rip)
{
    struct soft_block *sb;
    uint32_t need;
    const uint8_t *host = v->xl.peek ? code_at(v, first, b, rip) : NULL;

    sb = host ? soft_block_at(v, host, first->key) : NULL;
    if (!sb || sb->crosses)
        return X86_AFLAGS;
    need = needs(sb);
    if (need != X86_AFLAGS)
        xl_add_part(v, sb, b);
    return need;
}

/* live[i]: whether some flag is needed that was there before instruction i. */
static void find_live(struct soft_vcpu *v, const struct soft_block *first, struct xl_block *b,
                      const struct x86_insn **insn, unsigned count, bool *live)
{
    uint64_t rip = b->rip;
    uint32_t need;

    for (unsigned i = 0; i < count; i++)
        rip += insn[i]->len;
    const struct x86_insn *last = insn[count - 1];
    if (last->osz != v->cpu.code && soft_ends_block(last))
        need = X86_AFLAGS;
    else if (last->op == X86_OP_JMP || last->op == X86_OP_CALL)
        need = flags_needed(v, first, b, rip + last->imm);
    else if (last->op == X86_OP_JCC || !soft_ends_block(last))
        need = flags_needed(v, first, b, rip);
    else
        need = X86_AFLAGS;
    live[count] = v->xl.exact || (need & X86_AFLAGS);
    for (unsigned i = count; i-- > 0; rip -= insn[i]->len) {
        if (insn[i]->op == X86_OP_JCC && (need & X86_AFLAGS) != X86_AFLAGS) /* the other way */
            need |= flags_needed(v, first, b, rip + insn[i]->imm);
        need = x86_flags_before(insn[i], need);
        live[i] = v->xl.exact || (need & X86_AFLAGS);
    }
}

/* Whether the instruction may be done by the interpreter, which leaves other things in scratch
 * registers. */
static bool may_emulate(const struct xl_tr *t, unsigned jumps)
{
    for (unsigned j = jumps; j < t->jumps; j++)
        if (t->cold[t->jump[j].access.cold].insn)
            return true;
    return false;
}

/* The instruction's code is from `from` to here. */
static void place(struct xl_tr *t, const struct x86_insn *in, const uint8_t *from)
{
    struct xl *xl = t->xl;

    if (!t->windowed)
        return;
    t->windowed = false;
    xl->place[xl->places++] = (struct xl_place){
        .code = (uint32_t)(from - xl->rw),
        .len = (uint32_t)(t->p - from),
        .insn = in,
        .rip = t->rip,
    };
}

void xl_translate(struct soft_vcpu *v, struct soft_block *sb, struct xl_block *b)
{
    struct xl *xl = &v->xl;
    const uint32_t key = b->key;
    struct xl_tr tr, *t = &tr;
    const struct x86_insn *insn[XL_MAX_INSNS];
    bool live[XL_MAX_INSNS + 1];

    b->code = ALIGN_UP(xl->used, 16u);
    tr.v = v;
    tr.xl = xl;
    tr.p = xl->rw + b->code;
    tr.start = tr.rip = b->rip;
    tr.mode = v->cpu.code;
    tr.user = v->cpu.cpl == 3;
    tr.sse = key & XL_KEY_SSE;
    tr.avx = key & XL_KEY_AVX;
    tr.avx512 = key & XL_KEY_AVX512;
    tr.x87 = key & XL_KEY_X87;
    tr.fp = key & XL_KEY_FP;
    tr.windowed = false;
    tr.key = key;
    tr.colds = tr.jumps = tr.links = tr.outs = 0;
    tr.relocs = 0;
    tr.copies = xl_may_copy(t);
    tr.reloc_at = tr.p;
    b->places = (uint32_t)xl->places;
    tr.count = MIN(collect(v, sb, b, insn), xl->limit);
    find_live(v, sb, b, insn, tr.count, live);
    xl->insns += tr.count;
    b->count = (uint8_t)tr.count;
    tr.group_on = tr.r10 = tr.r11 = 0;
    xl_plan(t, insn);
    for (unsigned i = 0; i < t->count; i++) {
        const struct x86_insn *in = insn[i];
        const bool last = i + 1u == t->count;
        const bool ends = in->flags & X86_INSN_ENDS_BLOCK;
        const bool stop = (last && soft_ends_block(in)) || xl_changes_masks(in);
        const unsigned colds = t->colds, jumps = t->jumps;
        const uint32_t groups = t->group_on;
        const unsigned relocs = t->relocs;
        const uint8_t *reloc_at = t->reloc_at;
        uint8_t *at = t->p;
        bool copy = false, keeps = in->op == X86_OP_JCC;

        t->at = i;
        t->next = t->rip + in->len;
        t->live = live[i];
        t->live_out = live[i + 1];
        t->last = last;
        t->window = key & XL_KEY_WINDOW;
        if (ends && (xl_branch(t, in) || xl_ring(t, in) || xl_popf(t, in))) {
            place(t, in, at);
            if (last)
                break;
        } else if (!ends && ((keeps = copy = xl_insn(t, in)) || (keeps = xl_stack(t, in)) ||
                             (keeps = copy = xl_vector(t, in)) || xl_system(t, in))) {
            place(t, in, at);
            if (t->colds > colds && !xl_changes_masks(in)) {
                t->cold[colds].resume = t->p;
                t->cold[colds].copy = copy && !in->lock;
            }
            /* By the interpreter it checks no group. */
            if (t->group_on != groups && !last)
                t->cold[colds].twin = t->next;
        } else {
            t->p = at;
            t->colds = colds;
            t->jumps = jumps;
            t->group_on = groups;
            t->relocs = relocs;
            t->reloc_at = reloc_at;
            t->windowed = false;
            t->r10 = t->r11 = 0;
            xl_emulated(t, in, stop);
            if (stop)
                break;
        }
        if (!keeps || may_emulate(t, jumps))
            t->r10 = t->r11 = 0;
        t->rip = t->next;
        if (last)
            xl_goto(t, t->rip);
    }
    xl_cold_stubs(t);
    out_of_line(t);
    b->body = (uint32_t)(t->p - xl->rw) - b->code;
    if (t->copies)
        xl_keep_relocs(t, b);
    t->copies = false; /* a copy makes its own stubs */
    xl_link_stubs(t);
    xl_know_slots(v);
    xl->used = (uint32_t)(t->p - xl->rw);
}
