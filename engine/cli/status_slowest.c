/* status_slowest.c - `holdfast status --slowest`: the slowest answer of each second.
 *
 * Threads: the main thread. */
#include "cli/status_slowest.h"

#include <stdio.h>

#include "base/times.h"

#define STAGES        5u
#define DATE_CHARS    11u /* of time_text(): what is before the hours */
#define MS_TEXT_BYTES 32u

static const struct print_column columns[] = {
    {"time (UTC)", false}, {"total", true},  {"queue ", true},   {"decide ", true},
    {"append ", true},     {"sync ", true},  {"reply ", true},   {"request", false},
    {"orders", true},      {"lines", true},  {"bytes in", true}, {"bytes out", true},
    {"LSN", true},         {"status", false}};

static void stages_of(const struct hf_slow_answer *answer, uint64_t stage_ns[STAGES])
{
    stage_ns[0] = answer->queue_ns;
    stage_ns[1] = answer->decide_ns;
    stage_ns[2] = answer->append_ns;
    stage_ns[3] = answer->sync_ns;
    stage_ns[4] = answer->reply_ns;
}

static uint64_t total_of(const uint64_t stage_ns[STAGES])
{
    uint64_t total_ns = 0;
    for (unsigned i = 0; i < STAGES; i++) {
        total_ns += stage_ns[i];
    }
    return total_ns;
}

static unsigned longest_of(const uint64_t stage_ns[STAGES])
{
    unsigned longest = 0;
    for (unsigned i = 1; i < STAGES; i++) {
        longest = stage_ns[i] > stage_ns[longest] ? i : longest;
    }
    return longest;
}

static void add_ms(struct print_table *table, uint64_t ns, const char *mark)
{
    char text[MS_TEXT_BYTES];
    snprintf(text, sizeof text, "%.3f%s", (double)ns * 1e-6, mark);
    print_table_text(table, text);
}

static void add_row(struct print_table *table, const struct hf_slow_answer *answer)
{
    char when[TIME_TEXT_BYTES];
    uint64_t stage_ns[STAGES];
    time_text(answer->at_ms, when);
    stages_of(answer, stage_ns);
    unsigned longest = longest_of(stage_ns);
    print_table_text(table, when + DATE_CHARS);
    add_ms(table, total_of(stage_ns), "");
    for (unsigned i = 0; i < STAGES; i++) {
        add_ms(table, stage_ns[i], i == longest ? "*" : " ");
    }
    print_table_text(table, answer->request[0] ? answer->request : "unreadable");
    print_table_number(table, answer->orders);
    print_table_number(table, answer->lines);
    print_table_number(table, answer->request_bytes);
    print_table_number(table, answer->answer_bytes);
    print_table_number(table, (int64_t)answer->lsn);
    print_table_text(table, hf_status_name(answer->status));
}

void slowest_print(const struct hf_slow_answer *answers, uint32_t count)
{
    if (count == 0) {
        printf("nothing was answered within the last %u seconds\n", HF_SLOW_ANSWERS_MAX);
        return;
    }
    struct print_table table;
    printf("The slowest answer of each second, in ms; * marks the longest stage.\n");
    print_table_init(&table, columns, sizeof columns / sizeof *columns);
    for (uint32_t i = 0; i < count; i++) {
        add_row(&table, &answers[i]);
    }
    print_table_flush(&table);
    print_table_deinit(&table);
}

static json_t *slowest_object(const struct hf_slow_answer *answer)
{
    uint64_t stage_ns[STAGES];
    stages_of(answer, stage_ns);
    json_t *object = json_pack("{s:I, s:s, s:s}", "at_ms", (json_int_t)answer->at_ms, "request",
                               answer->request, "status", hf_status_name(answer->status));
    const struct {
        const char *name;
        uint64_t value;
    } numbers[] = {
        {"orders", answer->orders},
        {"lines", answer->lines},
        {"request_bytes", answer->request_bytes},
        {"answer_bytes", answer->answer_bytes},
        {"lsn", answer->lsn},
        {"total_ns", total_of(stage_ns)},
        {"queue_ns", answer->queue_ns},
        {"decide_ns", answer->decide_ns},
        {"append_ns", answer->append_ns},
        {"sync_ns", answer->sync_ns},
        {"reply_ns", answer->reply_ns},
    };
    for (size_t i = 0; i < sizeof numbers / sizeof *numbers; i++) {
        json_object_set_new(object, numbers[i].name, json_integer((json_int_t)numbers[i].value));
    }
    return object;
}

json_t *slowest_array(const struct hf_slow_answer *answers, uint32_t count)
{
    json_t *array = must_have(json_array());
    for (uint32_t i = 0; i < count; i++) {
        json_array_append_new(array, slowest_object(&answers[i]));
    }
    return array;
}
