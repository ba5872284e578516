/* SPDX-License-Identifier: BSD-2-Clause */
/* Text on a VGA: clears the screen, prints, scrolls. The terminal shows each line once. */
#include "guest/lib/guest.h"

enum { ROWS = 25, COLUMNS = 80, LINES = 40 };

static volatile uint16_t *const screen = (volatile uint16_t *)0xb8000;
static unsigned row, column;

static void clear_row(unsigned r)
{
    for (unsigned i = 0; i < COLUMNS; i++)
        screen[r * COLUMNS + i] = 0x0720;
}

static void put(char c)
{
    if (c == '\n') {
        column = 0;
        row++;
    } else {
        screen[row * COLUMNS + column++] = (uint16_t)(0x0700 | (uint8_t)c);
    }
    if (row < ROWS)
        return;
    for (unsigned i = 0; i < (ROWS - 1) * COLUMNS; i++)
        screen[i] = screen[i + COLUMNS];
    clear_row(--row);
}

void guest_main(void)
{
    for (unsigned r = 0; r < ROWS; r++)
        clear_row(r);
    for (unsigned i = 0; i < LINES; i++) {
        for (const char *s = "vga line "; *s; s++)
            put(*s);
        put((char)('0' + i / 10));
        put((char)('0' + i % 10));
        put('\n');
    }
    report("the last line but one is where it belongs", (screen[23 * COLUMNS] & 0xff) == 'v');
    outb(0x3d4, 0x0f);
    outb(0x3d5, 0x55);
    report("the cursor register remembers", inb(0x3d5) == 0x55);
    finish();
}
