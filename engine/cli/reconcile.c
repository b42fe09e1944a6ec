/* reconcile.c - `holdfast reconcile`: compares an order system's orders with the engine's, and
 * lists, or does, what makes them agree.
 *
 * The engine's orders are listed once, with all their lines, and each is compared with the file's.
 * An order that is in the file but not in the list is read by its id. With --apply each order is
 * read again before anything is done, so that an order which has changed in the meantime is not
 * touched, and a second run finds nothing to do.
 *
 * Threads: the main thread. */
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/check.h"
#include "base/limits.h"
#include "cli/commands.h"
#include "cli/connect.h"
#include "cli/print.h"
#include "cli/reconcile_act.h"
#include "cli/reconcile_file.h"
#include "cli/reconcile_items.h"
#include "cli/reconcile_plan.h"
#include "cli/reconcile_print.h"
#include "cli/values.h"

#define PAGE_ORDERS 1000u
#define ROUNDS_MAX  4u /* an order may need a late commit and then a return */

static struct connection connection = {.step_by_step = true};
static bool apply;
static bool yes;
static const char *encoding;
static uint64_t max_share = 1;
static uint64_t as_of = UINT64_MAX;

static const struct option_spec options[] = {
    {"apply", OPTION_FLAG, &apply, NULL, NULL,
     "correct the differences; without --yes nothing is changed"},
    {"yes", OPTION_FLAG, &yes, NULL, NULL, "with --apply: change the engine's orders"},
    {"max-share", OPTION_UNSIGNED, &max_share, NULL, "PERCENT",
     "with --apply: change nothing if more than this share of the engine's orders, and more than "
     "10, would be changed (default: 1)"},
    {"encoding", OPTION_TEXT, &encoding, NULL, "NAME",
     "the file's encoding, as gb18030 or utf-16le (default: utf-8)"},
    {"as-of", OPTION_UNSIGNED, &as_of, NULL, "LSN",
     "the engine's LSN when the file was written: orders that changed after it are left alone"},
    CONNECTION_OPTIONS_STEP_BY_STEP(connection),
};

static const struct command_spec spec = {
    .name = "reconcile",
    .arguments = "ORDERS.csv",
    .help =
        "Compares the orders of an order system, in a file, with the engine's, and lists each\n"
        "difference with the action that would correct it in the engine. The file has the\n"
        "columns order, state (held, paid, cancelled, returned, ...), sku, pool (may be\n"
        "missing: default) and qty, with a row for each line of an order.\n"
        "\n"
        "  orphan_hold      the engine holds units for an order that is not in the file: release\n"
        "  orphan_commit    the same, but committed: return\n"
        "  missing_commit   paid in the file, held or expired in the engine: commit\n"
        "  double_commit    the file has a paid line more than once, the engine has it once: no "
        "action\n"
        "  wrong_quantity   more units in the engine: release or return; fewer: no action\n"
        "  state_differs    ended in the file: release or return; else no action\n"
        "  missing_order    the engine does not know the order: no action\n"
        "\n"
        "Nothing is changed without --apply --yes. A second run finds nothing to change. A\n"
        "wrong or incomplete file would make orphans of the engine's orders. So --apply\n"
        "changes nothing when it would change more than 10 orders and more than --max-share\n"
        "of the orders that the engine holds units for; or when more than half of these are\n"
        "not in the file, or more than half of the file's orders not in the engine.\n"
        "--max-share 100 allows both.\n"
        "\n"
        "  holdfast reconcile orders.csv\n"
        "  holdfast reconcile orders.csv --as-of 184467 --apply --yes\n"
        "\n"
        "Needs a running engine (--url). Exit codes: 0 no difference remains; 1 differences\n"
        "remain, or the file was refused; 2 wrong usage; 3 no answer from the engine.\n",
    .options = options,
    .option_count = sizeof options / sizeof *options,
    .arguments_min = 1,
    .arguments_max = 1,
};

/* ---- Differences ---- */

struct difference {
    struct hf_id id;
    struct file_order *order; /* NULL: not in the file */
};

/* Orders and units of the actions, by enum action. */
struct tally {
    uint64_t orders[ACTION_RETURN + 1];
    uint64_t units[ACTION_RETURN + 1];
    uint64_t changed; /* orders with any action */
    uint64_t orphans; /* in the engine, with units, and not in the file */
    uint64_t missing; /* in the file, with units wanted, and not in the engine */
};

struct work {
    struct hf_client *client;
    struct order_file file;
    struct item_table items;
    struct difference *differences;
    size_t count;
    size_t room;
    uint64_t engine_orders;
    uint64_t engine_live; /* of these, held or committed, and not left alone */
    uint64_t file_live;   /* held or paid in the file */
    struct tally tally;
    uint64_t newer;                          /* left alone because of --as-of */
    bool acts;                               /* with --apply, --yes and no reason against it */
    char refusal[CONNECT_REASON_BYTES + 64]; /* why not, with --apply; "" if nothing is */
    uint64_t corrected;
    uint64_t remaining;
    struct json_rows array;
    struct plan plan;
    struct order_now now;
};

static struct id128 id_of(struct hf_id id)
{
    return id_from_bytes(id.bytes);
}

/* Units that the plan's action is about. The units that an expired order had are not known: a late
 * commit brings what the file wants, and what it brings beyond that is returned afterwards. */
static uint64_t plan_units(const struct work *work, const struct file_order *order)
{
    const struct plan *plan = &work->plan;
    uint64_t units = 0;
    if (plan->action == ACTION_COMMIT_LATE) {
        for (uint32_t i = 0; i < order->part_count; i++) {
            units += (uint64_t)order->parts[i].qty;
        }
    } else if (plan->all) {
        for (uint32_t i = 0; i < work->now.info.line_count; i++) {
            units += work->now.lines[i].qty;
        }
    } else {
        for (uint32_t i = 0; i < plan->line_count; i++) {
            units += plan->lines[i].qty;
        }
    }
    return units;
}

static void add_to_tally(struct work *work, const struct file_order *order)
{
    struct tally *tally = &work->tally;
    enum action action = work->plan.action;
    tally->orphans += order == NULL;
    tally->missing += work->now.info.state == HF_ORDER_NONE;
    tally->changed += action != ACTION_NONE;
    tally->orders[action]++;
    tally->units[action] += plan_units(work, order);
}

static void note(struct work *work, struct hf_id id, struct file_order *order)
{
    add_to_tally(work, order);
    if (work->count == work->room) {
        work->room = work->room ? 2 * work->room : 256;
        work->differences = must_grow(work->differences, work->room, sizeof *work->differences);
    }
    work->differences[work->count++] = (struct difference){id, order};
}

/* Changed after --as-of: the file can't have it. */
static bool is_newer(struct work *work, const struct hf_order_info *info)
{
    bool newer = info->lsn > as_of;
    work->newer += newer;
    return newer;
}

/* One order of the engine's list. */
static void look_at(struct work *work, const struct hf_order_info *info)
{
    struct file_order *order = order_file_find(&work->file, id_of(info->id));
    work->engine_orders++;
    if (order) {
        order->seen = true;
    }
    if (is_newer(work, info)) {
        return;
    }
    CHECK(info->line_count <= ORDER_LINES_MAX);
    work->engine_live += info->state == HF_ORDER_HELD || info->state == HF_ORDER_COMMITTED;
    work->now.info = *info;
    if (info->line_count > 0) {
        memcpy(work->now.lines, info->lines, info->line_count * sizeof *info->lines);
    }
    reconcile_plan(&work->plan, order, &work->now);
    if (work->plan.kind) {
        note(work, info->id, order);
    }
}

static enum hf_status look_through_engine(struct work *work)
{
    const struct hf_order_filter any = {0};
    struct hf_order_cursor cursor = {0};
    while (!cursor.done) {
        struct hf_order_info *orders;
        uint32_t count;
        enum hf_status status =
            hf_list_orders(work->client, &any, &cursor, PAGE_ORDERS, &orders, &count);
        if (status != HF_OK) {
            return status;
        }
        for (uint32_t i = 0; i < count; i++) {
            look_at(work, &orders[i]);
        }
        hf_free(orders);
    }
    return HF_OK;
}

/* Reads the file's orders that were not in the list. */
static enum hf_status look_for_missing(struct work *work)
{
    for (uint32_t i = 0; i < work->file.order_count; i++) {
        struct file_order *order = &work->file.orders[i];
        work->file_live += order->wanted != WANTED_ENDED;
        if (order->seen || order->wanted == WANTED_ENDED) {
            continue;
        }
        struct hf_id id;
        id_to_bytes(order->id, id.bytes);
        enum hf_status status = reconcile_fetch(work->client, id, &work->now);
        if (status != HF_OK) {
            return status;
        }
        if (is_newer(work, &work->now.info)) {
            continue;
        }
        reconcile_plan(&work->plan, order, &work->now);
        if (work->plan.kind) {
            note(work, id, order);
        }
    }
    return HF_OK;
}

/* Prints a difference and, with --apply, does the action. One row has both; its numbers are those
 * before the action. */
static enum hf_status act_and_tell(struct work *work, const struct file_order *order)
{
    bool acts = work->acts && work->plan.action != ACTION_NONE;
    const struct difference_view view = {&work->items, order, &work->now, &work->plan};
    json_t *object = connection.json ? reconcile_object(&view) : NULL;
    if (!object) {
        reconcile_print(&view);
    }
    enum hf_status status = acts ? reconcile_act(work->client, &work->now, &work->plan) : HF_OK;
    if (object) {
        json_object_set_new(object, "done", json_boolean(acts && status == HF_OK));
        json_rows_add(&work->array, object);
    } else {
        puts(!acts ? "" : status == HF_OK ? ": done" : ": NOT done");
        fflush(stdout);
    }
    return status;
}

/* ---- All differences ---- */

/* Whether only this order is refused: others may still be corrected. */
static bool is_refusal(enum hf_status status)
{
    return status != HF_OK && exit_code_of(status) == EXIT_NO && status != HF_UNAUTHORIZED;
}

/* Reads the order again, prints the difference, and corrects it as far as possible. OK, or why the
 * engine can't be asked any more. */
static enum hf_status deal_with(struct work *work, const struct difference *difference)
{
    for (unsigned round = 0; round < ROUNDS_MAX; round++) {
        enum hf_status status = reconcile_fetch(work->client, difference->id, &work->now);
        if (status != HF_OK) {
            return status;
        }
        /* Changed since it was listed; in later rounds it has been changed by us. */
        if (round == 0 && is_newer(work, &work->now.info)) {
            return HF_OK;
        }
        reconcile_plan(&work->plan, difference->order, &work->now);
        if (!work->plan.kind) {
            work->corrected += round > 0;
            return HF_OK;
        }
        status = act_and_tell(work, difference->order);
        if (!work->acts || work->plan.action == ACTION_NONE) {
            break;
        }
        if (is_refusal(status)) {
            char text[CONNECT_REASON_BYTES];
            connect_reason(status, difference->order ? difference->order->name : NULL, text);
            connect_say(status, text);
            break;
        }
        if (status != HF_OK) {
            return status;
        }
    }
    work->remaining++;
    return HF_OK;
}

/* ---- The brake ---- */

#define SURE_ORDERS 10u /* up to this number, orders are changed whatever their share */

/* Why the actions are not to be done; NULL: they may. */
static const char *brake(const struct work *work, char text[CONNECT_REASON_BYTES])
{
    const struct tally *tally = &work->tally;
    uint64_t half = max_share > 50 ? max_share : 50;
    if (tally->changed == 0) {
        return NULL;
    }
    if (tally->orphans * 100 > half * work->engine_live ||
        tally->missing * 100 > half * work->file_live) {
        snprintf(text, CONNECT_REASON_BYTES,
                 "%" PRIu64 " of the engine's %" PRIu64 " orders with units are not in the file, "
                 "and %" PRIu64 " of the file's %" PRIu64 " are not in the engine: is it the right "
                 "file, and complete? --max-share 100 applies it nevertheless",
                 tally->orphans, work->engine_live, tally->missing, work->file_live);
        return text;
    }
    if (max_share < 100 && tally->changed > SURE_ORDERS &&
        tally->changed * 100 > max_share * work->engine_live) {
        snprintf(text, CONNECT_REASON_BYTES,
                 "%" PRIu64 " orders would be changed, of %" PRIu64 " that the engine has units "
                 "for: that is more than --max-share, %" PRIu64 " %%",
                 tally->changed, work->engine_live, max_share);
        return text;
    }
    return NULL;
}

/* Whether the actions may be done; if not, work->refusal has the reason. */
static bool may_apply(struct work *work)
{
    char text[CONNECT_REASON_BYTES];
    if (!apply || work->tally.changed == 0) {
        return apply;
    }
    const char *why = brake(work, text);
    work->refusal[0] = '\0';
    if (why) {
        snprintf(work->refusal, sizeof work->refusal, "Nothing was changed: %s", why);
    } else if (!yes) {
        snprintf(work->refusal, sizeof work->refusal, "Nothing was changed: add --yes to --apply");
    }
    return work->refusal[0] == '\0';
}

static uint64_t tally_orders(const struct tally *tally)
{
    uint64_t orders = 0;
    for (int action = ACTION_NONE; action <= ACTION_RETURN; action++) {
        orders += tally->orders[action];
    }
    return orders;
}

static enum hf_status compare_all(struct work *work)
{
    enum hf_status status = look_through_engine(work);
    if (status == HF_OK) {
        status = look_for_missing(work);
    }
    work->acts = status == HF_OK && may_apply(work);
    if (connection.json) {
        json_rows_open(&work->array);
    }
    CHECK(tally_orders(&work->tally) == work->count);
    for (size_t i = 0; i < work->count && status == HF_OK; i++) {
        status = deal_with(work, &work->differences[i]);
    }
    if (connection.json && status != HF_OK) {
        char text[CONNECT_REASON_BYTES];
        connect_reason(status, NULL, text);
        json_rows_add(&work->array, error_object(status, text));
    }
    if (connection.json) {
        json_rows_close(&work->array);
    }
    CHECK(work->corrected + work->remaining <= work->count);
    return status;
}

/* Prints how many orders and units the actions change, or have changed. */
static void print_tally(const struct work *work, FILE *to)
{
    for (int action = ACTION_COMMIT; action <= ACTION_RETURN; action++) {
        if (work->tally.orders[action] > 0) {
            fprintf(to, "%s%s: %" PRIu64 " order%s, %" PRIu64 " unit%s\n",
                    work->acts ? "" : "would ", reconcile_action_name((enum action)action),
                    work->tally.orders[action], work->tally.orders[action] == 1 ? "" : "s",
                    work->tally.units[action], work->tally.units[action] == 1 ? "" : "s");
        }
    }
}

static void summarize(const struct work *work)
{
    print_tally(work, connection.json ? stderr : stdout);
    fprintf(connection.json ? stderr : stdout,
            "%" PRIu32 " orders in the file, %" PRIu64 " in the engine: %zu difference%s, %" PRIu64
            " corrected, %" PRIu64 " remain%s\n",
            work->file.order_count, work->engine_orders, work->count, work->count == 1 ? "" : "s",
            work->corrected, work->remaining, work->remaining == 1 ? "s" : "");
    if (work->refusal[0] != '\0') {
        print_safe(stderr, work->refusal);
        fputc('\n', stderr);
    }
    if (work->newer > 0) {
        fprintf(stderr,
                "%" PRIu64 " orders changed after LSN %" PRIu64
                " and were left alone, also those that an "
                "earlier --apply corrected.\n",
                work->newer, as_of);
    }
}

/* With an LSN that the engine has not reached, no order would be left alone. */
static int check_as_of(struct hf_client *client)
{
    struct hf_engine_status engine;
    char text[160];
    if (as_of == UINT64_MAX) {
        return ARGS_GO_ON;
    }
    enum hf_status status = hf_get_status(client, &engine);
    if (status != HF_OK) {
        return connect_failed(status, NULL);
    }
    if (as_of <= engine.commit_lsn) {
        return ARGS_GO_ON;
    }
    snprintf(text, sizeof text,
             "option --as-of: %" PRIu64
             " is not an LSN that the engine had: the engine is at LSN %" PRIu64,
             as_of, engine.commit_lsn);
    fprintf(stderr, "%s\n", text);
    if (connection.json) {
        print_json(error_object(HF_INVALID, text));
    }
    return EXIT_NO;
}

static int reconcile(struct work *work, const char *path)
{
    char error[ORDER_FILE_ERROR_BYTES];
    int code = check_as_of(work->client);
    if (code != ARGS_GO_ON) {
        return code;
    }
    enum hf_status status = item_table_read(&work->items, work->client);
    if (status != HF_OK) {
        return connect_failed(status, NULL);
    }
    if (!order_file_read(&work->file, path, encoding, &work->items, error)) {
        print_safe(stderr, path);
        fputs(": ", stderr);
        print_safe(stderr, error);
        fputc('\n', stderr);
        if (connection.json) {
            print_json(error_object(HF_INVALID, error));
        }
        code = EXIT_NO;
    } else {
        status = compare_all(work);
        if (status != HF_OK) {
            char text[CONNECT_REASON_BYTES];
            connect_reason(status, NULL, text);
            code = connect_say(status, text);
        } else {
            summarize(work);
            code = work->remaining > 0 ? EXIT_NO : EXIT_DONE;
        }
    }
    order_file_deinit(&work->file);
    item_table_deinit(&work->items);
    free(work->differences);
    return code;
}

int cmd_reconcile(int argc, char **argv)
{
    static struct work work;
    struct args args;
    int code = args_parse(&spec, argc, argv, &args);
    if (code == ARGS_GO_ON && max_share > 100) {
        code = args_wrong(&spec, "option --max-share: %" PRIu64 " is not a percentage, 0..100",
                          max_share);
    }
    if (code == ARGS_GO_ON && yes && !apply) {
        code = args_wrong(&spec, "option --yes: it needs --apply");
    }
    if (code == ARGS_GO_ON) {
        code = connect_open(&spec, &connection, &work.client);
    }
    if (code != ARGS_GO_ON) {
        return code;
    }
    code = reconcile(&work, args.values[0]);
    hf_client_close(work.client);
    return code;
}
