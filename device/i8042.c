/* SPDX-License-Identifier: BSD-2-Clause */
/* Keyboard controller of the PC: Intel UPI-41/42 with IBM's firmware, as [PS/2] IBM "PS/2 Hardware
 * Interface Technical Reference, Keyboard and Auxiliary Device Controller" (1990) describes it. */
#include "device/i8042.h"

#include "lib/state.h"

#define STATUS_OBF      BIT(0) /* a byte for the guest */
#define STATUS_SYSTEM   BIT(2)
#define STATUS_COMMAND  BIT(3) /* the last write was a command */
#define STATUS_UNLOCKED BIT(4)
#define STATUS_AUX      BIT(5) /* the byte is the mouse's */
#define STATUS_TIMEOUT  BIT(6)

#define BYTE_KEYBOARD_INT BIT(0)
#define BYTE_AUX_INT      BIT(1)
#define BYTE_SYSTEM       BIT(2)
#define BYTE_KEYBOARD_OFF BIT(4)
#define BYTE_AUX_OFF      BIT(5)
#define BYTE_TRANSLATE    BIT(6)

#define OUT_RUN BIT(0) /* 0 resets the processor */
#define OUT_A20 BIT(1)
#define OUT_OBF BIT(4)
#define OUT_AUX BIT(5)

enum command {
    CMD_READ_RAM = 0x20,
    CMD_WRITE_RAM = 0x60,
    CMD_AUX_OFF = 0xa7,
    CMD_AUX_ON = 0xa8,
    CMD_AUX_TEST = 0xa9,
    CMD_SELF_TEST = 0xaa,
    CMD_KEYBOARD_TEST = 0xab,
    CMD_KEYBOARD_OFF = 0xad,
    CMD_KEYBOARD_ON = 0xae,
    CMD_READ_INPUT_PORT = 0xc0,
    CMD_READ_OUTPUT_PORT = 0xd0,
    CMD_WRITE_OUTPUT_PORT = 0xd1,
    CMD_WRITE_KEYBOARD_BUFFER = 0xd2,
    CMD_WRITE_AUX_BUFFER = 0xd3,
    CMD_WRITE_AUX = 0xd4,
    CMD_READ_TEST_INPUTS = 0xe0,
    CMD_PULSE = 0xf0, /* to 0xff: output port bits that are 0 in the command */
};

enum keyboard_command {
    KBD_LEDS = 0xed,
    KBD_ECHO = 0xee,
    KBD_SCAN_SET = 0xf0,
    KBD_ID = 0xf2,
    KBD_RATE = 0xf3,
    KBD_ENABLE = 0xf4,
    KBD_DISABLE = 0xf5,
    KBD_DEFAULTS = 0xf6,
    KBD_RESEND = 0xfe,
    KBD_RESET = 0xff,
};
enum { KBD_ACK = 0xfa, KBD_PASSED = 0xaa, KBD_NAK = 0xfe, KBD_ID_1 = 0xab, KBD_ID_2 = 0x83 };

enum {
    SELF_TEST_PASSED = 0x55,
    TEST_PASSED = 0,
    TEST_NO_CLOCK = 1, /* clock line stuck low: nothing there */
    INPUT_PORT = 0xa0, /* keyboard not locked, 512 KB on board: IBM's defaults */
    AUX_NO_ANSWER = 0xfe,
};

/* Set 2 → set 1, for the only bytes below 0x80 and the one above that our keyboard sends: the
 * second byte of the ID and the numbers of the scan code sets. */
static uint8_t translate(uint8_t byte)
{
    static const struct {
        uint8_t from, to;
    } table[] = { { 0x01, 0x43 }, { 0x02, 0x41 }, { 0x03, 0x3f }, { 0x83, 0x41 } };
    for (unsigned i = 0; i < ARRAY_LEN(table); i++)
        if (table[i].from == byte)
            return table[i].to;
    return byte;
}

static void update(struct i8042 *k)
{
    bool full = k->s.status & STATUS_OBF, aux = k->s.status & STATUS_AUX;
    irq_set(&k->irq_keyboard, full && !aux && (k->s.ram[0] & BYTE_KEYBOARD_INT));
    irq_set(&k->irq_aux, full && aux && (k->s.ram[0] & BYTE_AUX_INT));
}

/* The controller's own answers go before what the keyboard has waiting. */
static void put(struct i8042 *k, uint8_t byte, uint8_t source)
{
    k->s.status = (uint8_t)((k->s.status & ~(STATUS_AUX | STATUS_TIMEOUT)) | STATUS_OBF | source);
    k->s.data = byte;
}

/* Moves the keyboard's next byte into the output buffer if that is free and the clock is on. */
static void pump(struct i8042 *k)
{
    if ((k->s.status & STATUS_OBF) || (k->s.ram[0] & BYTE_KEYBOARD_OFF) || !k->s.queue_count)
        return;
    uint8_t byte = k->s.queue[k->s.queue_head];
    k->s.queue_head = (k->s.queue_head + 1) % I8042_QUEUE;
    k->s.queue_count--;
    k->s.last_byte = byte;
    put(k, k->s.ram[0] & BYTE_TRANSLATE ? translate(byte) : byte, 0);
}

static void say(struct i8042 *k, uint8_t byte)
{
    if (k->s.queue_count < I8042_QUEUE)
        k->s.queue[(k->s.queue_head + k->s.queue_count++) % I8042_QUEUE] = byte;
}

static void keyboard_defaults(struct i8042 *k)
{
    k->s.scan_set = 2;
    k->s.keyboard_command = 0;
}

static void keyboard_parameter(struct i8042 *k, uint8_t byte)
{
    uint8_t command = k->s.keyboard_command;
    k->s.keyboard_command = 0;
    if (command == KBD_SCAN_SET && byte > 3) {
        say(k, KBD_NAK);
        return;
    }
    say(k, KBD_ACK);
    if (command == KBD_SCAN_SET && byte)
        k->s.scan_set = byte;
    else if (command == KBD_SCAN_SET)
        say(k, k->s.scan_set);
}

static void keyboard_write(struct i8042 *k, uint8_t byte)
{
    if (k->s.keyboard_command && byte < KBD_LEDS) {
        keyboard_parameter(k, byte);
        return;
    }
    k->s.keyboard_command = 0;
    switch (byte) {
    case KBD_LEDS:
    case KBD_RATE:
    case KBD_SCAN_SET:
        k->s.keyboard_command = byte;
        say(k, KBD_ACK);
        break;
    case KBD_ECHO: say(k, KBD_ECHO); break;
    case KBD_ID:
        say(k, KBD_ACK);
        say(k, KBD_ID_1);
        say(k, KBD_ID_2);
        break;
    case KBD_ENABLE:
    case KBD_DISABLE:
        k->s.scanning = byte == KBD_ENABLE;
        say(k, KBD_ACK);
        break;
    case KBD_DEFAULTS:
        keyboard_defaults(k);
        say(k, KBD_ACK);
        break;
    case KBD_RESEND: say(k, k->s.last_byte); break;
    case KBD_RESET:
        k->s.queue_count = 0;
        keyboard_defaults(k);
        k->s.scanning = true;
        say(k, KBD_ACK);
        say(k, KBD_PASSED);
        break;
    default: say(k, KBD_NAK); break;
    }
}

static void write_output_port(struct i8042 *k, uint8_t val)
{
    k->s.output_port = val | OUT_RUN;
    if (!(val & OUT_RUN))
        power_request(&k->power, POWER_RESET, 0);
}

static uint8_t output_port(const struct i8042 *k)
{
    uint8_t val = k->s.output_port & (uint8_t) ~(OUT_OBF | OUT_AUX);
    if (k->s.status & STATUS_OBF)
        val |= k->s.status & STATUS_AUX ? OUT_AUX : OUT_OBF;
    return val;
}

static void write_command(struct i8042 *k, uint8_t cmd)
{
    k->s.status |= STATUS_COMMAND;
    k->s.command = 0;
    if (cmd >= CMD_PULSE) {
        if (!(cmd & OUT_RUN))
            power_request(&k->power, POWER_RESET, 0);
        return;
    }
    if (cmd >= CMD_READ_RAM && cmd < CMD_READ_RAM + I8042_RAM) {
        put(k, k->s.ram[cmd - CMD_READ_RAM], 0);
        return;
    }
    if (cmd >= CMD_WRITE_RAM && cmd < CMD_WRITE_RAM + I8042_RAM) {
        k->s.command = cmd;
        return;
    }
    switch (cmd) {
    case CMD_AUX_OFF: k->s.ram[0] |= BYTE_AUX_OFF; break;
    case CMD_AUX_ON: k->s.ram[0] &= (uint8_t)~BYTE_AUX_OFF; break;
    case CMD_AUX_TEST: put(k, TEST_NO_CLOCK, 0); break;
    case CMD_SELF_TEST:
        k->s.status |= STATUS_SYSTEM;
        put(k, SELF_TEST_PASSED, 0);
        break;
    case CMD_KEYBOARD_TEST: put(k, TEST_PASSED, 0); break;
    case CMD_KEYBOARD_OFF: k->s.ram[0] |= BYTE_KEYBOARD_OFF; break;
    case CMD_KEYBOARD_ON: k->s.ram[0] &= (uint8_t)~BYTE_KEYBOARD_OFF; break;
    case CMD_READ_INPUT_PORT: put(k, INPUT_PORT, 0); break;
    case CMD_READ_OUTPUT_PORT: put(k, output_port(k), 0); break;
    case CMD_READ_TEST_INPUTS: put(k, 0, 0); break;
    case CMD_WRITE_OUTPUT_PORT:
    case CMD_WRITE_KEYBOARD_BUFFER:
    case CMD_WRITE_AUX_BUFFER:
    case CMD_WRITE_AUX: k->s.command = cmd; break;
    default: break;
    }
}

static void write_data(struct i8042 *k, uint8_t val)
{
    uint8_t cmd = k->s.command;
    k->s.status &= (uint8_t)~STATUS_COMMAND;
    k->s.command = 0;
    switch (cmd) {
    case 0:
        k->s.ram[0] &= (uint8_t)~BYTE_KEYBOARD_OFF; /* a byte for the keyboard turns it on */
        keyboard_write(k, val);
        break;
    case CMD_WRITE_OUTPUT_PORT: write_output_port(k, val); break;
    case CMD_WRITE_KEYBOARD_BUFFER: put(k, val, 0); break;
    case CMD_WRITE_AUX_BUFFER: put(k, val, STATUS_AUX); break;
    case CMD_WRITE_AUX: put(k, AUX_NO_ANSWER, STATUS_AUX | STATUS_TIMEOUT); break;
    default: /* CMD_WRITE_RAM and up */
        k->s.ram[(unsigned)(cmd - CMD_WRITE_RAM) % I8042_RAM] = val;
        if (cmd == CMD_WRITE_RAM)
            k->s.status = (uint8_t)((k->s.status & ~STATUS_SYSTEM) | (val & BYTE_SYSTEM));
        break;
    }
}

static enum device_result i8042_access(struct device *dev, unsigned region, uint64_t offset,
                                       unsigned size, uint64_t *val, bool write)
{
    struct i8042 *k = container_of(dev, struct i8042, dev);
    if (offset || size != 1)
        return DEVICE_UNMAPPED;
    if (region == I8042_REGION_COMMAND && !write) {
        *val = k->s.status;
        return DEVICE_OK;
    }
    if (region == I8042_REGION_COMMAND)
        write_command(k, (uint8_t)*val);
    else if (write)
        write_data(k, (uint8_t)*val);
    else {
        *val = k->s.data;
        k->s.status &= (uint8_t) ~(STATUS_OBF | STATUS_AUX | STATUS_TIMEOUT);
        update(k); /* the line falls between two bytes: the guest's inputs are edge-triggered */
    }
    pump(k);
    update(k);
    return DEVICE_OK;
}

static void i8042_reset(struct device *dev)
{
    struct i8042 *k = container_of(dev, struct i8042, dev);
    k->s = (__typeof__(k->s)){
        /* As firmware leaves it. */
        .ram[0] = BYTE_KEYBOARD_INT | BYTE_SYSTEM | BYTE_AUX_OFF | BYTE_TRANSLATE,
        .status = STATUS_UNLOCKED | STATUS_SYSTEM,
        .output_port = OUT_RUN | OUT_A20 | 0xcc,
        .scan_set = 2,
        .scanning = true,
    };
    update(k);
}

static int i8042_state(struct device *dev, struct state *st)
{
    struct i8042 *k = container_of(dev, struct i8042, dev);
    uint8_t command = k->s.command;
    STATE_BYTES(st, &k->s, ram);
    STATE_INT(st, &k->s, status, 0, 0xff);
    STATE_INT(st, &k->s, data, 0, 0xff);
    STATE_INT(st, &k->s, output_port, 0, 0xff);
    STATE_INT(st, &k->s, command, 0, CMD_WRITE_AUX);
    STATE_BYTES(st, &k->s, queue);
    STATE_INT(st, &k->s, queue_head, 0, I8042_QUEUE - 1);
    STATE_INT(st, &k->s, queue_count, 0, I8042_QUEUE);
    STATE_INT(st, &k->s, keyboard_command, 0, 0xff);
    STATE_INT(st, &k->s, scan_set, 1, 3);
    STATE_INT(st, &k->s, last_byte, 0, 0xff);
    STATE_INT(st, &k->s, scanning, 0, 1);
    /* Only these take a data byte; anything else would index past the RAM. */
    uint8_t c = k->s.command;
    if (c && !(c >= CMD_WRITE_RAM && c < CMD_WRITE_RAM + I8042_RAM) &&
        !(c >= CMD_WRITE_OUTPUT_PORT && c <= CMD_WRITE_AUX)) {
        k->s.command = command;
        st->error = st->error ? st->error : -22; /* EINVAL */
    }
    if (!st->error && st->loading)
        update(k);
    return st->error;
}

static const struct device_ops i8042_ops = {
    .name = "i8042",
    .access = i8042_access,
    .reset = i8042_reset,
    .state = i8042_state,
    .max_size = 1,
};

void i8042_init(struct i8042 *k)
{
    k->dev.ops = &i8042_ops;
    i8042_reset(&k->dev);
}
