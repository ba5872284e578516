/* SPDX-License-Identifier: BSD-2-Clause */
/* The PC's ACPI tables: [ACPI] 6.4 section 5.2 "ACPI System Description Tables", MCFG after the
 * PCI Firmware Specification 3.0 section 4.1.2. */
#include "monitor/machine/acpi.h"

#include <errno.h>
#include <string.h>

#include "device/acpi_pm.h"
#include "monitor/machine/aml.h"

#define PACKED __attribute__((packed))

struct sdt {
    char signature[4];
    uint32_t length;
    uint8_t revision, checksum;
    char oem_id[6], oem_table_id[8];
    uint32_t oem_revision;
    char creator_id[4];
    uint32_t creator_revision;
} PACKED;
_Static_assert(sizeof(struct sdt) == 36, "[ACPI] 5.2.6");

struct rsdp {
    char signature[8];
    uint8_t checksum;
    char oem_id[6];
    uint8_t revision;
    uint32_t rsdt;
    uint32_t length;
    uint64_t xsdt;
    uint8_t checksum_all, reserved[3];
} PACKED;
_Static_assert(sizeof(struct rsdp) == 36, "[ACPI] 5.2.5.3");

struct gas { /* generic address structure */
    uint8_t space, bits, offset, access;
    uint64_t address;
} PACKED;
_Static_assert(sizeof(struct gas) == 12, "[ACPI] 5.2.3.2");
enum { GAS_IO = 1, ACCESS_BYTE = 1, ACCESS_WORD = 2, ACCESS_DWORD = 3 };

struct fadt {
    struct sdt head;
    uint32_t facs, dsdt;
    uint8_t reserved0, profile;
    uint16_t sci;
    uint32_t smi_cmd;
    uint8_t acpi_enable, acpi_disable, s4bios, pstate_cnt;
    uint32_t pm1a_evt, pm1b_evt, pm1a_cnt, pm1b_cnt, pm2_cnt, pm_tmr, gpe0, gpe1;
    uint8_t pm1_evt_len, pm1_cnt_len, pm2_cnt_len, pm_tmr_len, gpe0_len, gpe1_len, gpe1_base,
        cst_cnt;
    uint16_t c2_latency, c3_latency, flush_size, flush_stride;
    uint8_t duty_offset, duty_width, day_alarm, month_alarm, century;
    uint16_t boot_arch;
    uint8_t reserved1;
    uint32_t flags;
    struct gas reset;
    uint8_t reset_value;
    uint16_t arm_boot_arch;
    uint8_t minor;
    uint64_t x_facs, x_dsdt;
    struct gas x_pm1a_evt, x_pm1b_evt, x_pm1a_cnt, x_pm1b_cnt, x_pm2_cnt, x_pm_tmr, x_gpe0, x_gpe1;
    struct gas sleep_control, sleep_status;
} PACKED;
_Static_assert(sizeof(struct fadt) == 268, "[ACPI] 5.2.9, revision 5");

#define FADT_WBINVD     BIT(0)
#define FADT_PROC_C1    BIT(2)
#define FADT_SLP_BUTTON BIT(5) /* set: not in fixed hardware */
#define FADT_FIX_RTC    BIT(6) /* set: not in fixed hardware */
#define FADT_TMR_32     BIT(8)
#define FADT_RESET      BIT(10)
#define BOOT_LEGACY     BIT(0)
#define BOOT_8042       BIT(1)
#define BOOT_NO_VGA     BIT(2)
#define BOOT_NO_ASPM    BIT(4)
#define C2_NONE         101
#define C3_NONE         1001
#define CMOS_CENTURY    0x32
#define RESET_PORT      0xcf9
#define RESET_HARD      0x06

struct facs {
    char signature[4];
    uint32_t length, hardware_signature, waking_vector, global_lock, flags;
    uint64_t x_waking_vector;
    uint8_t version, reserved[31];
} PACKED;
_Static_assert(sizeof(struct facs) == 64, "[ACPI] 5.2.10");

struct mcfg {
    struct sdt head;
    uint64_t reserved;
    uint64_t base;
    uint16_t segment;
    uint8_t first_bus, last_bus;
    uint32_t reserved2;
} PACKED;
_Static_assert(sizeof(struct mcfg) == 60, "PCI Firmware Specification 4.1.2");

enum madt_entry { MADT_LAPIC = 0, MADT_IOAPIC = 1, MADT_OVERRIDE = 2, MADT_LAPIC_NMI = 4 };
enum { INTI_DEFAULT = 0, INTI_LEVEL_HIGH = 0xd };
#define MADT_PCAT    BIT(0) /* there are also two 8259s */
#define LAPIC_USABLE BIT(0)

struct build {
    uint8_t *buf;
    size_t len, capacity;
    uint64_t base;
    bool full;
    uint64_t table[8]; /* addresses for RSDT and XSDT */
    unsigned tables;
};

static uint8_t checksum(const void *p, size_t len)
{
    uint8_t sum = 0;
    for (size_t i = 0; i < len; i++)
        sum += ((const uint8_t *)p)[i];
    return (uint8_t)-sum;
}

/* Room for a table; NULL if there is none. */
static void *place(struct build *b, size_t len, size_t align, uint64_t *gpa)
{
    size_t at = ALIGN_UP(b->len, align);
    if (!range_ok(at, len, b->capacity)) {
        b->full = true;
        return NULL;
    }
    b->len = at + len;
    *gpa = b->base + at;
    return memset(b->buf + at, 0, len);
}

static void head(struct sdt *t, const char *signature, uint8_t revision, size_t len)
{
    memcpy(t->signature, signature, 4);
    t->length = (uint32_t)len;
    t->revision = revision;
    memcpy(t->oem_id, "TRAPEZ", 6);
    memcpy(t->oem_table_id, "TRAPEZE ", 8);
    t->oem_revision = 1;
    memcpy(t->creator_id, "TRPZ", 4);
    t->creator_revision = 1;
    t->checksum = 0;
    t->checksum = checksum(t, len);
}

/* ---- DSDT ---- */

static void legacy_device(struct aml *a, const char *name, const char *id, unsigned uid,
                          const uint16_t (*io)[2], unsigned ios, unsigned irq)
{
    size_t dev = aml_device(a, name), res;
    aml_name(a, "_HID");
    aml_eisa_id(a, id);
    aml_name(a, "_UID");
    aml_integer(a, uid);
    aml_name(a, "_CRS");
    res = aml_resources(a);
    for (unsigned i = 0; i < ios; i++)
        aml_io(a, io[i][0], (uint8_t)io[i][1]);
    if (irq)
        aml_irq(a, irq);
    aml_end_resources(a, res);
    aml_end(a, dev);
}

static void legacy_devices(struct aml *a)
{
    static const uint16_t com1[][2] = { { 0x3f8, 8 } };
    static const uint16_t rtc[][2] = { { 0x70, 2 } };
    static const uint16_t keyboard[][2] = { { 0x60, 1 }, { 0x64, 1 } };
    legacy_device(a, "COM1", "PNP0501", 1, com1, ARRAY_LEN(com1), 4);
    legacy_device(a, "RTC0", "PNP0B00", 0, rtc, ARRAY_LEN(rtc), 8);
    legacy_device(a, "KBD0", "PNP0303", 0, keyboard, ARRAY_LEN(keyboard), 1);
}

/* Motherboard resources: what no driver may take. */
static void motherboard(struct aml *a, const struct acpi_config *c)
{
    size_t dev = aml_device(a, "MBRD"), res;
    aml_name(a, "_HID");
    aml_eisa_id(a, "PNP0C02");
    aml_name(a, "_UID");
    aml_integer(a, 1);
    aml_name(a, "_CRS");
    res = aml_resources(a);
    aml_io(a, c->pm_base, ACPI_PM_LEN);
    if (c->pci)
        aml_memory32_fixed(a, PC_ECAM, MiB(256));
    aml_end_resources(a, res);
    aml_end(a, dev);
}

static void host_bridge(struct aml *a, const struct acpi_config *c)
{
    size_t dev = aml_device(a, "PCI0"), mark, entry;
    aml_name(a, "_HID");
    aml_eisa_id(a, "PNP0A08");
    aml_name(a, "_CID");
    aml_eisa_id(a, "PNP0A03");
    aml_name(a, "_UID");
    aml_integer(a, 0);
    aml_name(a, "_BBN");
    aml_integer(a, 0);
    aml_name(a, "_SEG");
    aml_integer(a, 0);
    aml_name(a, "_CRS");
    mark = aml_resources(a);
    aml_bus_range(a, 0, 255);
    aml_io(a, 0xcf8, 8);
    aml_io_window(a, 0, 0xcf7);
    aml_io_window(a, 0xd00, 0xffff);
    aml_memory32_window(a, PC_VGA, PC_VGA + 0x1ffff);
    aml_memory32_window(a, PC_PCI_MMIO, PC_PCI_MMIO_END - 1);
    if (c->pci_high_end > c->pci_high_base)
        aml_memory64_window(a, c->pci_high_base, c->pci_high_end - 1);
    aml_end_resources(a, mark);
    aml_name(a, "_PRT");
    mark = aml_package(a, (uint8_t)(c->pci_slots * ACPI_PCI_PINS));
    for (unsigned slot = 0; slot < c->pci_slots; slot++)
        for (unsigned pin = 0; pin < ACPI_PCI_PINS; pin++) {
            entry = aml_package(a, 4);
            aml_integer(a, slot << 16 | 0xffff); /* any function */
            aml_integer(a, pin);
            aml_integer(a, 0); /* hard-wired to a GSI */
            aml_integer(a, c->pci_gsi(slot, pin));
            aml_end(a, entry);
        }
    aml_end(a, mark);
    legacy_devices(a);
    aml_end(a, dev);
}

static uint64_t build_dsdt(struct build *b, const struct acpi_config *c)
{
    uint64_t gpa = 0;
    struct sdt *t = place(b, sizeof(*t), 16, &gpa);
    if (!t)
        return 0;
    struct aml a = { .buf = b->buf + b->len, .capacity = b->capacity - b->len };
    size_t scope = aml_scope(&a, "\\_SB"), s5;
    if (c->pci)
        host_bridge(&a, c);
    else
        legacy_devices(&a);
    motherboard(&a, c);
    aml_end(&a, scope);
    aml_name(&a, "\\_S5");
    s5 = aml_package(&a, 4);
    aml_integer(&a, ACPI_PM_S5_TYPE);
    aml_integer(&a, ACPI_PM_S5_TYPE);
    aml_integer(&a, 0);
    aml_integer(&a, 0);
    aml_end(&a, s5);
    b->full |= a.overflow;
    b->len += a.len;
    head(t, "DSDT", 2, sizeof(*t) + a.len);
    return gpa;
}

/* ---- the static tables ---- */

static uint64_t build_facs(struct build *b)
{
    uint64_t gpa = 0;
    struct facs *f = place(b, sizeof(*f), 64, &gpa);
    if (!f)
        return 0;
    memcpy(f->signature, "FACS", 4);
    f->length = sizeof(*f);
    f->version = 2;
    return gpa;
}

static struct gas io_gas(uint32_t port, unsigned bytes, uint8_t access)
{
    return (struct gas){
        .space = GAS_IO, .bits = (uint8_t)(bytes * 8), .access = access, .address = port
    };
}

static void build_fadt(struct build *b, const struct acpi_config *c, uint64_t facs, uint64_t dsdt)
{
    uint64_t gpa;
    struct fadt *f = place(b, sizeof(*f), 16, &gpa);
    if (!f)
        return;
    f->facs = (uint32_t)facs;
    f->dsdt = (uint32_t)dsdt;
    f->x_dsdt = dsdt; /* x_facs stays 0: one of the two only */
    f->profile = 0;
    f->sci = ACPI_SCI;
    f->pm1a_evt = c->pm_base + ACPI_PM1_EVT;
    f->pm1a_cnt = c->pm_base + ACPI_PM1_CNT;
    f->pm_tmr = c->pm_base + ACPI_PM_TMR;
    f->gpe0 = c->pm_base + ACPI_GPE0;
    f->pm1_evt_len = ACPI_PM1_EVT_LEN;
    f->pm1_cnt_len = ACPI_PM1_CNT_LEN;
    f->pm_tmr_len = ACPI_PM_TMR_LEN;
    f->gpe0_len = ACPI_GPE0_LEN;
    f->x_pm1a_evt = io_gas(f->pm1a_evt, ACPI_PM1_EVT_LEN, ACCESS_WORD);
    f->x_pm1a_cnt = io_gas(f->pm1a_cnt, ACPI_PM1_CNT_LEN, ACCESS_WORD);
    f->x_pm_tmr = io_gas(f->pm_tmr, ACPI_PM_TMR_LEN, ACCESS_DWORD);
    f->x_gpe0 = io_gas(f->gpe0, ACPI_GPE0_LEN, ACCESS_BYTE);
    f->c2_latency = C2_NONE;
    f->c3_latency = C3_NONE;
    f->century = CMOS_CENTURY;
    f->boot_arch = BOOT_LEGACY | BOOT_8042 | BOOT_NO_VGA | BOOT_NO_ASPM;
    f->flags =
        FADT_WBINVD | FADT_PROC_C1 | FADT_SLP_BUTTON | FADT_FIX_RTC | FADT_TMR_32 | FADT_RESET;
    f->reset = io_gas(RESET_PORT, 1, ACCESS_BYTE);
    f->reset_value = RESET_HARD;
    f->minor = 1;
    head(&f->head, "FACP", 5, sizeof(*f));
    b->table[b->tables++] = gpa;
}

static void madt_override(uint8_t *p, uint8_t irq, uint32_t gsi, uint16_t flags)
{
    p[0] = MADT_OVERRIDE;
    p[1] = 10;
    p[3] = irq;
    le32_put(p + 4, gsi);
    le16_put(p + 8, flags);
}

static void build_madt(struct build *b, const struct acpi_config *c)
{
    size_t len = sizeof(struct sdt) + 8 + 8 * c->cpus + 12 + 2 * 10 + 6;
    uint64_t gpa;
    struct sdt *t = place(b, len, 16, &gpa);
    if (!t)
        return;
    uint8_t *p = (uint8_t *)(t + 1);
    le32_put(p, PC_LAPIC);
    le32_put(p + 4, MADT_PCAT);
    p += 8;
    for (unsigned i = 0; i < c->cpus; i++, p += 8) {
        p[0] = MADT_LAPIC;
        p[1] = 8;
        p[2] = p[3] = (uint8_t)i; /* processor UID, APIC id */
        le32_put(p + 4, LAPIC_USABLE);
    }
    p[0] = MADT_IOAPIC;
    p[1] = 12;
    p[2] = (uint8_t)c->cpus; /* an id no local APIC has */
    le32_put(p + 4, PC_IOAPIC);
    p += 12;
    madt_override(p, 0, 2, INTI_DEFAULT); /* the timer */
    madt_override(p + 10, ACPI_SCI, ACPI_SCI, INTI_LEVEL_HIGH);
    p += 20;
    p[0] = MADT_LAPIC_NMI;
    p[1] = 6;
    p[2] = 0xff; /* all processors */
    p[5] = 1;    /* LINT1 */
    head(t, "APIC", 4, len);
    b->table[b->tables++] = gpa;
}

static void build_mcfg(struct build *b)
{
    uint64_t gpa;
    struct mcfg *m = place(b, sizeof(*m), 16, &gpa);
    if (!m)
        return;
    m->base = PC_ECAM;
    m->last_bus = 255;
    head(&m->head, "MCFG", 1, sizeof(*m));
    b->table[b->tables++] = gpa;
}

/* RSDT or XSDT: the same list in two widths. */
static uint64_t build_list(struct build *b, const char *signature, unsigned width)
{
    size_t len = sizeof(struct sdt) + b->tables * width;
    uint64_t gpa = 0;
    struct sdt *t = place(b, len, 16, &gpa);
    if (!t)
        return 0;
    for (unsigned i = 0; i < b->tables; i++)
        le_put((uint8_t *)(t + 1) + i * width, b->table[i], width);
    head(t, signature, 1, len);
    return gpa;
}

int acpi_build(const struct acpi_config *c, uint8_t *buf, size_t len, uint64_t base, uint64_t *rsdp)
{
    struct build b = { .buf = buf, .capacity = len, .base = base };
    uint64_t at;
    struct rsdp *r = place(&b, sizeof(*r), 16, &at);
    uint64_t facs = build_facs(&b), dsdt = build_dsdt(&b, c);
    build_fadt(&b, c, facs, dsdt);
    build_madt(&b, c);
    if (c->pci)
        build_mcfg(&b);
    uint64_t rsdt = build_list(&b, "RSDT", 4), xsdt = build_list(&b, "XSDT", 8);
    if (!r || b.full)
        return -ENOSPC;
    memcpy(r->signature, "RSD PTR ", 8);
    memcpy(r->oem_id, "TRAPEZ", 6);
    r->revision = 2;
    r->rsdt = (uint32_t)rsdt;
    r->xsdt = xsdt;
    r->length = sizeof(*r);
    r->checksum = checksum(r, 20);
    r->checksum_all = checksum(r, sizeof(*r));
    *rsdp = at;
    return 0;
}
