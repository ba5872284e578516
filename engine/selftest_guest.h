/* SPDX-License-Identifier: BSD-2-Clause */
/* What the self-test's guest and its host side agree on. */
#ifndef ENGINE_SELFTEST_GUEST_H
#define ENGINE_SELFTEST_GUEST_H

/* Ports: the step that begins; an exception nobody expected; a wrong result. */
#define PORT_STEP   0xe0
#define PORT_VECTOR 0xe1
#define PORT_WRONG  0xe2

#define STEP_OPEN       0
#define STEP_SETUP      1
#define STEP_LONG_MODE  2
#define STEP_PAGING     3
#define STEP_PAGE_FAULT 4
#define STEP_INT3       5
#define STEP_SSE        6
#define STEP_XSAVE      7
#define STEP_CX16       8
#define STEP_SMAP       9
#define STEP_IPI        10
#define STEP_TIMER      11
#define STEP_USER       12
#define STEP_PASSED     13

/* Slot 0 at 0: code, data, stack. Slot 1: page tables and the pages that paging is tried on. */
#define SLOT_SIZE 0x10000
#define CODE      0x1000
#define SCRATCH   0x8000 /* aligned for XSAVE */
#define STACK     0xf000
#define SLOT1     0x100000
#define PML4      (SLOT1 + 0x0000)
#define PDPT      (SLOT1 + 0x1000)
#define PD_LOW    (SLOT1 + 0x2000) /* the first GiB */
#define PD_HIGH   (SLOT1 + 0x3000) /* the fourth, for the LAPIC */
#define PT        (SLOT1 + 0x4000) /* of VIRT */
#define PAGE_A    (SLOT1 + 0x6000)
#define PAGE_B    (SLOT1 + 0x7000)
#define VIRT      0x400000
#define LAPIC     0xfee00000

#endif
