/* record_rig.c - events and their records. Threads: one. */
#include "micro/record_rig.h"

#include <stdlib.h>

#include "base/check.h"
#include "micro/rig.h"
#include "wal/record.h"

struct record_rig {
    struct event events[RECORD_RIG_EVENTS];
    struct order_line *lines;
    uint8_t *records;
    uint32_t bytes;
};

struct record_rig *record_rig_make(uint32_t lines_each)
{
    struct record_rig *rig = calloc(1, sizeof *rig);
    CHECK(rig != NULL);
    rig->lines = calloc((size_t)RECORD_RIG_EVENTS * lines_each + 1, sizeof *rig->lines);
    CHECK(rig->lines != NULL);
    for (uint32_t i = 0; i < RECORD_RIG_EVENTS; i++) {
        struct event *event = &rig->events[i];
        event->type = lines_each ? EVENT_ORDER_HELD : EVENT_ORDER_COMMITTED;
        event->id = rig_id(i);
        if (lines_each == 0) {
            continue;
        }
        event->buyer = i + 1;
        event->deadline_ms = UINT64_C(1790000000000) + i;
        event->line_count = lines_each;
        event->lines = &rig->lines[(size_t)i * lines_each];
        for (uint32_t k = 0; k < lines_each; k++) {
            rig->lines[(size_t)i * lines_each + k] = (struct order_line){k + 1, 1};
        }
    }
    uint32_t bytes = 0;
    for (uint32_t i = 0; i < RECORD_RIG_EVENTS; i++) {
        bytes += record_bytes(&rig->events[i]);
    }
    rig->records = malloc(bytes);
    CHECK(rig->records != NULL);
    rig->bytes = record_rig_encode(rig);
    CHECK(rig->bytes == bytes);
    return rig;
}

void record_rig_free(struct record_rig *rig)
{
    free(rig->records);
    free(rig->lines);
    free(rig);
}

uint32_t record_rig_encode(struct record_rig *rig)
{
    uint32_t at = 0;
    for (uint32_t i = 0; i < RECORD_RIG_EVENTS; i++) {
        at += record_encode(&rig->events[i], rig->records + at);
    }
    return at;
}

uint32_t record_rig_decode(struct record_rig *rig)
{
    struct record_scratch scratch;
    uint32_t at = 0;
    while (at < rig->bytes) {
        struct event event;
        size_t used;
        const char *reason;
        CHECK(record_decode(rig->records + at, rig->bytes - at, &event, &scratch, &used, &reason) ==
              HF_OK);
        at += (uint32_t)used;
    }
    return at;
}
