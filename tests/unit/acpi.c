/* SPDX-License-Identifier: BSD-2-Clause */
/* ACPI tables: every pointer and checksum by walking them as a guest does; the disassembler reads
 * them without complaint where it is installed. */
#include "monitor/machine/acpi.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "monitor/machine/aml.h"
#include "unit.h"

enum { SIZE = 0x10000 };
static uint8_t buf[SIZE];

static unsigned gsi(unsigned slot, unsigned pin) { return 16 + ((slot + pin) & 3); }

static uint8_t sum(const uint8_t *p, size_t n)
{
    uint8_t s = 0;
    while (n--)
        s += *p++;
    return s;
}

static const uint8_t *at(uint64_t gpa)
{
    CHECK(gpa >= PC_BIOS_ROM && gpa < PC_BIOS_ROM + SIZE - 64);
    return buf + (gpa - PC_BIOS_ROM);
}

static const uint8_t *table(uint64_t gpa, const char *signature)
{
    const uint8_t *p = at(gpa);
    CHECK(!memcmp(p, signature, 4));
    CHECK_EQ(sum(p, le32(p + 4)), 0);
    return p;
}

static void check_madt(const uint8_t *p, unsigned cpus)
{
    unsigned lapics = 0, ioapics = 0, overrides = 0;
    const uint8_t *e = p + 44, *end = p + le32(p + 4);
    CHECK_EQ(le32(p + 36), PC_LAPIC);
    for (; e < end; e += e[1]) {
        CHECK(e[1] >= 6 && e + e[1] <= end);
        switch (e[0]) {
        case 0:
            CHECK_EQ(e[3], lapics);
            CHECK_EQ(le32(e + 4), 1);
            lapics++;
            break;
        case 1:
            CHECK(e[2] >= cpus);
            CHECK_EQ(le32(e + 4), PC_IOAPIC);
            CHECK_EQ(le32(e + 8), 0);
            ioapics++;
            break;
        case 2: overrides++; break;
        default: break;
        }
    }
    CHECK(e == end);
    CHECK_EQ(lapics, cpus);
    CHECK_EQ(ioapics, 1);
    CHECK_EQ(overrides, 2);
}

static void check_fadt(const uint8_t *p, const struct acpi_config *c)
{
    CHECK_EQ(le32(p + 4), 268);
    CHECK_EQ(le16(p + 46), ACPI_SCI);
    CHECK_EQ(le32(p + 56), c->pm_base);      /* PM1a_EVT_BLK */
    CHECK_EQ(le32(p + 64), c->pm_base + 4u); /* PM1a_CNT_BLK */
    CHECK_EQ(le32(p + 76), c->pm_base + 8u); /* PM_TMR_BLK */
    CHECK_EQ(p[88], 4);                      /* PM1_EVT_LEN */
    CHECK_EQ(p[91], 4);                      /* PM_TMR_LEN */
    CHECK_EQ(le32(p + 112) & 0x500, 0x500);  /* TMR_VAL_EXT, RESET_REG_SUP */
    CHECK_EQ(le32(p + 112) & 0x10, 0);       /* the power button is fixed hardware */
    CHECK_EQ(le64(p + 120), 0xcf9);
    CHECK_EQ(p[128], 6);
    const uint8_t *facs = at(le32(p + 36));
    CHECK(!memcmp(facs, "FACS", 4));
    CHECK_EQ(le32(facs + 4), 64);
    CHECK_EQ(le32(p + 36) & 63, 0);
    CHECK_EQ(le64(p + 140), le32(p + 40)); /* X_DSDT */
    table(le64(p + 140), "DSDT");
}

/* Disassembles a table; the disassembler's complaints go to stderr and to its exit status. */
static void disassemble(const uint8_t *p, const char *name)
{
    char file[64], command[512];
    snprintf(file, sizeof(file), "/tmp/trapeze-acpi-%d-%s", (int)getpid(), name);
    FILE *f = fopen(file, "wb");
    CHECK(f && fwrite(p, le32(p + 4), 1, f) == 1);
    if (f)
        fclose(f);
    snprintf(command, sizeof(command),
             "iasl -d %s > %s.log 2>&1 && ! grep -iE 'error|warning|invalid|could not' %s.log",
             file, file, file);
    CHECK_EQ(system(command), 0);
    snprintf(command, sizeof(command), "iasl -ve -p %s.2 %s.dsl > %s.log 2>&1", file, file, file);
    CHECK_EQ(system(command), 0); /* and it compiles again */
    snprintf(command, sizeof(command), "rm -f %s %s.*", file, file);
    CHECK_EQ(system(command), 0);
}

static void check(const struct acpi_config *c, bool iasl)
{
    uint64_t rsdp;
    memset(buf, 0xcc, sizeof(buf));
    CHECK_EQ(acpi_build(c, buf, SIZE, PC_BIOS_ROM, &rsdp), 0);
    CHECK_EQ(rsdp & 15, 0);
    const uint8_t *p = at(rsdp);
    CHECK(!memcmp(p, "RSD PTR ", 8));
    CHECK_EQ(p[15], 2);
    CHECK_EQ(sum(p, 20), 0);
    CHECK_EQ(sum(p, 36), 0);
    const uint8_t *rsdt = table(le32(p + 16), "RSDT"), *xsdt = table(le64(p + 24), "XSDT");
    unsigned n = (le32(xsdt + 4) - 36) / 8;
    CHECK_EQ(n, c->pci ? 3 : 2);
    for (unsigned i = 0; i < n; i++)
        CHECK_EQ(le64(xsdt + 36 + 8 * i), le32(rsdt + 36 + 4 * i));
    check_fadt(table(le64(xsdt + 36), "FACP"), c);
    check_madt(table(le64(xsdt + 44), "APIC"), c->cpus);
    if (c->pci) {
        const uint8_t *m = table(le64(xsdt + 52), "MCFG");
        CHECK_EQ(le64(m + 44), PC_ECAM);
        CHECK_EQ(m[55], 255);
    }
    if (!iasl)
        return;
    disassemble(table(le64(table(le64(xsdt + 36), "FACP") + 140), "DSDT"), "dsdt");
    for (unsigned i = 0; i < n; i++)
        disassemble(at(le64(xsdt + 36 + 8 * i)), "table");
}

static void test_aml(void)
{
    uint8_t small[64];
    struct aml a = { .buf = small, .capacity = sizeof(small) };
    size_t m = aml_package(&a, 2);
    aml_integer(&a, 1);
    aml_integer(&a, 0x1234);
    aml_end(&a, m);
    CHECK(!memcmp(small, "\x12\x06\x02\x01\x0b\x34\x12", 7)); /* PkgLength counts itself */
    a.len = 0;
    aml_eisa_id(&a, "PNP0A08");
    CHECK(!memcmp(small, "\x0c\x41\xd0\x0a\x08", 5));
    a.len = 0;
    m = aml_scope(&a, "\\_SB");
    for (unsigned i = 0; i < 100; i++)
        aml_integer(&a, ~0ull);
    aml_end(&a, m);
    CHECK(a.overflow);
}

int main(void)
{
    bool iasl = !system("iasl -v > /dev/null 2>&1");
    struct acpi_config c = { .cpus = 1, .pm_base = 0x600 };
    uint64_t rsdp;
    test_aml();
    check(&c, iasl);
    c = (struct acpi_config){ .cpus = 64,
                              .pm_base = 0x600,
                              .pci = true,
                              .pci_slots = 32,
                              .pci_gsi = gsi,
                              .pci_high_base = 0x8000000000,
                              .pci_high_end = 0x9000000000 };
    check(&c, iasl);
    size_t need = 1000;
    while (need < SIZE && acpi_build(&c, buf, need, PC_BIOS_ROM, &rsdp) < 0)
        need++;
    CHECK(need < 8192);
    memset(buf, 0xcc, sizeof(buf));
    for (size_t len = 0; len < need; len += 31) { /* any shortage is reported, nothing spills */
        CHECK_EQ(-acpi_build(&c, buf, len, PC_BIOS_ROM, &rsdp), ENOSPC);
        CHECK_EQ(buf[len], 0xcc);
        CHECK_EQ(buf[need], 0xcc);
        memset(buf, 0xcc, need);
    }
    if (!iasl)
        printf("acpi: iasl is not installed, tables not disassembled\n");
    return unit_done("acpi");
}
