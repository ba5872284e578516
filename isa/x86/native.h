/* SPDX-License-Identifier: BSD-2-Clause */
/* x87, MMX, SSE, AVX and AVX-512 instructions executed on the host's own unit. The engine gives the
 * code memory. */
#ifndef ISA_X86_NATIVE_H
#define ISA_X86_NATIVE_H

#include "isa/x86/cpu.h"

/* Generated stubs, cached by instruction; one per vCPU (no locks). code_rw and code_rx are two
 * mappings of the same `size` bytes (at least 64 KiB): written through one, executed through the
 * other (they may be equal). The caller owns the memory; x86_native_size() bytes for the struct
 * itself. */
size_t x86_native_size(void);
void x86_native_init(struct x86_native *n, void *code_rw, void *code_rx, size_t size);

/* XCR0 bits the host offers that we offer to a guest (x87, SSE, AVX, AVX-512), and XSAVE area size
 * for them. */
uint64_t x86_native_xcr0(void);
uint32_t x86_native_xsave_size(uint64_t xcr0);
/* State component i (2 and up) in the standard format, for CPUID leaf 0xd: false if not offered.
 * align: to 64 bytes in the compacted format. */
bool x86_native_component(unsigned i, uint32_t *offset, uint32_t *size, bool *align);
/* The vector and x87 state as an XSAVE image in standard format with XSTATE_BV, and back; the other
 * side may be a KVM_GET_XSAVE buffer. cpu->xsave itself has no valid header. set: 0 or -EINVAL
 * (buffer too small for the offered components, reserved MXCSR bits, unknown component). */
void x86_native_get_xsave(struct x86_cpu *cpu, void *buf, size_t size);
WARN_UNUSED int x86_native_set_xsave(struct x86_cpu *cpu, const void *buf, size_t size);
/* XCR0 bits of the components of cpu->xsave that are not in their initial state. */
uint64_t x86_native_in_use(struct x86_cpu *cpu);
uint32_t x86_native_mxcsr_mask(const struct x86_native *n);

/* For a translator: what executing a vector, mask or MMX instruction (X86_OP_SSE, AVX, AVX512, MMX)
 * as itself takes. False: the host cannot. */
struct x86_native_form {
    bool fp;      /* may raise floating-point exceptions */
    bool aligned; /* #GP unless the memory operand is aligned to its size */
    bool has_gpr, gpr_written;
    uint8_t gpr;
};
WARN_UNUSED bool x86_native_form(const struct x86_native *n, const struct x86_insn *insn,
                                 struct x86_native_form *f);
/* The instruction for the host, in 64-bit mode: with [base] (no rsp, rbp, r12, r13) as its memory
 * operand, gpr as its general register. Returns its length. Who wants another form of address, with
 * index, replaces the byte at *modrm (may be NULL); with EVEX a displacement must have 32 bits. */
unsigned x86_native_encode(const struct x86_insn *insn, unsigned base, unsigned index, unsigned gpr,
                           uint8_t out[16], unsigned *modrm);
/* Puts the XSAVE area into its reset state (FCW 0x37f, MXCSR 0x1f80). */
void x86_native_reset(struct x86_cpu *cpu);

#endif
