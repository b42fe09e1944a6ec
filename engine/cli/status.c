/* status.c - `holdfast status`: how an engine is doing.
 *
 * Threads: the main thread. */
#include <inttypes.h>
#include <stdio.h>

#include "base/times.h"
#include "cli/commands.h"
#include "cli/connect.h"
#include "cli/print.h"
#include "cli/status_slowest.h"
#include "cli/values.h"

static struct connection connection;
static bool slowest;

static const struct option_spec options[] = {
    {"slowest", OPTION_FLAG, &slowest, NULL, NULL,
     "the slowest answer of each of the last 60 seconds, and where its time went"},
    CONNECTION_OPTIONS(connection)};

static const struct command_spec spec = {
    .name = "status",
    .arguments = "",
    .help = "Shows how an engine is doing: its version and state, how the log is written, how\n"
            "much of each limit is used, with the name of the setting, and whether the machine's\n"
            "clock is trusted. Changes nothing.\n"
            "\n"
            "--slowest prints a table in place of that, a line for each second in which there was\n"
            "an answer, the newest first; with --json both. A request's time is divided into\n"
            "stages: queue (from the socket until a thread began with it), decide (decoding,\n"
            "checks, decisions), append (many records put into the log's buffer, and waiting for\n"
            "room there), sync (until the disk has it), reply (until it was handed to the\n"
            "connection).\n"
            "\n"
            "  holdfast status --url tcp://10.0.0.5:7411 --json\n" ENGINE_HELP,
    .options = options,
    .option_count = sizeof options / sizeof *options,
};

/* Prints how much is used of a limit, with the name of the limit's setting. An engine of another
 * version may not report the limit. */
static void print_use(const char *what, uint64_t used, uint64_t most, const char *setting)
{
    printf("%-13s %" PRIu64, what, used);
    if (most > 0) {
        printf(" of %" PRIu64 " (%s), %" PRIu64 " %%", most, setting, used * 100 / most);
    }
    putchar('\n');
}

static void print_time(const char *what, const char *note, uint64_t ms)
{
    char text[DURATION_TEXT_BYTES] = "for ever";
    if (ms > 0) {
        duration_text(ms, text);
    }
    printf("%-13s %s%s%s\n", what, note, note[0] ? " " : "", text);
}

static void signed_duration_text(int64_t ms, char text[DURATION_TEXT_BYTES])
{
    duration_text(ms < 0 ? (uint64_t)-ms : (uint64_t)ms, text);
}

static void show_clock(const struct hf_engine_status *status)
{
    char when[TIME_TEXT_BYTES];
    char size[DURATION_TEXT_BYTES];
    char left[DURATION_TEXT_BYTES];
    const char *side = status->clock_difference_ms < 0 ? "behind" : "ahead";
    if (status->wall_ms == 0) {
        return; /* an older engine */
    }
    time_text(status->wall_ms, when);
    printf("time          %s\n", when);
    signed_duration_text(status->clock_difference_ms, size);
    duration_text(status->clock_confirms_ms, left);
    printf("clock         ");
    print_safe(stdout, status->clock);
    if (status->clock_confirms_ms > 0) {
        printf(": the machine's is %s %s, and will be believed in %s if it stays so", size, side,
               left);
    }
    if (status->clock_steps_seen > 0) {
        time_text(status->clock_step_at_ms, when);
        signed_duration_text(status->clock_step_ms, size);
        printf("\nclock jumps   %" PRIu64 ", believed %" PRIu64 "; the last at %s, by %s %s",
               status->clock_steps_seen, status->clock_steps_believed, when, size,
               status->clock_step_ms < 0 ? "back" : "ahead");
    }
    putchar('\n');
}

static json_t *clock_object(const struct hf_engine_status *status)
{
    return json_pack(
        "{s:s, s:I, s:I, s:I, s:I, s:I, s:I, s:I, s:I}", "state", status->clock, "wall_ms",
        (json_int_t)status->wall_ms, "difference_ms", (json_int_t)status->clock_difference_ms,
        "doubted_ms", (json_int_t)status->clock_doubted_ms, "confirms_ms",
        (json_int_t)status->clock_confirms_ms, "steps_seen", (json_int_t)status->clock_steps_seen,
        "steps_believed", (json_int_t)status->clock_steps_believed, "step_ms",
        (json_int_t)status->clock_step_ms, "step_at_ms", (json_int_t)status->clock_step_at_ms);
}

static void show(const struct hf_engine_status *status)
{
    char uptime[DURATION_TEXT_BYTES];
    duration_text(status->uptime_ms, uptime);
    printf("version       ");
    print_safe(stdout, status->version);
    printf("\nstate         ");
    print_safe(stdout, status->state);
    printf("\nlog written   with ");
    print_safe(stdout, status->wal_io);
    printf("\ndurable LSN   %" PRIu64 "\n", status->commit_lsn);
    printf("up for        %s\n", uptime);
    print_use("items", status->items, status->items_max, "items-max");
    print_use("SKUs", status->skus, status->items_max, "items-max");
    printf("orders held   %" PRIu64 "\n", status->orders_held);
    print_use("orders known", status->orders_known, status->orders_max, "orders-max");
    print_use("buyers", status->buyers, status->buyers_max, "buyers-max");
    print_use("log, MiB", status->wal_bytes >> 20, status->wal_bytes_max >> 20, "wal-bytes-max");
    print_time("ended orders", "kept for", status->retain_ended_ms);
    print_time("default hold", "", status->hold_ms);
    print_time("longest hold", "", status->hold_ms_max);
    show_clock(status);
}

static json_t *status_object(const struct hf_engine_status *status)
{
    json_t *object = json_pack("{s:s, s:s, s:s}", "version", status->version, "state",
                               status->state, "wal_io", status->wal_io);
    const struct {
        const char *name;
        uint64_t value;
    } numbers[] = {
        {"commit_lsn", status->commit_lsn},
        {"uptime_ms", status->uptime_ms},
        {"items", status->items},
        {"items_max", status->items_max},
        {"skus", status->skus},
        {"orders_held", status->orders_held},
        {"orders_known", status->orders_known},
        {"orders_max", status->orders_max},
        {"buyers", status->buyers},
        {"buyers_max", status->buyers_max},
        {"wal_bytes", status->wal_bytes},
        {"wal_bytes_max", status->wal_bytes_max},
        {"retain_ended_ms", status->retain_ended_ms},
        {"hold_ms", status->hold_ms},
        {"hold_ms_max", status->hold_ms_max},
    };
    for (size_t i = 0; i < sizeof numbers / sizeof *numbers; i++) {
        json_object_set_new(object, numbers[i].name, json_integer((json_int_t)numbers[i].value));
    }
    json_object_set_new(object, "clock", clock_object(status));
    return object;
}

static enum hf_status run_status(struct hf_client *client)
{
    struct hf_engine_status status;
    enum hf_status result = hf_get_status(client, &status);
    if (result == HF_OK) {
        connection.json ? print_json(status_object(&status)) : show(&status);
    }
    return result;
}

static enum hf_status run_slowest(struct hf_client *client)
{
    struct hf_slow_answer answers[HF_SLOW_ANSWERS_MAX];
    struct hf_engine_status status;
    uint32_t count;
    enum hf_status result = hf_get_slowest(client, answers, &count);
    if (result != HF_OK) {
        return result;
    }
    if (!connection.json) {
        slowest_print(answers, count);
        return HF_OK;
    }
    result = hf_get_status(client, &status);
    if (result == HF_OK) {
        json_t *object = status_object(&status);
        json_object_set_new(object, "slowest", slowest_array(answers, count));
        print_json(object);
    }
    return result;
}

int cmd_status(int argc, char **argv)
{
    struct args args;
    struct hf_client *client;
    int code = args_parse(&spec, argc, argv, &args);
    if (code == ARGS_GO_ON) {
        code = connect_open(&spec, &connection, &client);
    }
    if (code != ARGS_GO_ON) {
        return code;
    }
    enum hf_status result = slowest ? run_slowest(client) : run_status(client);
    code = result == HF_OK ? EXIT_DONE : connect_failed(result, NULL);
    hf_client_close(client);
    return code;
}
