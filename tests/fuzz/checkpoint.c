/* checkpoint.c - fuzzes loading a checkpoint that was tampered with.
 *
 * The input is a row of changes of a small whole checkpoint: bytes of header, frames and records
 * overwritten, pages moved, cut off or added; and, because a wrong checksum ends most stories,
 * checksums made right again after a change; and records that can be, each by itself, of numbers
 * that the others contradict. Then
 *   - checking and loading it, with one thread and with two, end in OK or DAMAGED, with a message,
 * or FULL or NO_MEMORY, and agree;
 *   - what is loaded is a state whose sums agree, and the header counts what is there; an engine
 *     works with it: orders are committed, released, returned, expired, forgotten and made;
 *   - without a checksum made right, a change anywhere is noticed.
 * Threads: one, and those that load. */
#include <stdlib.h>
#include <string.h>

#include "base/hash.h"
#include "checkpoint/file.h"
#include "checkpoint/info.h"
#include "checkpoint/load.h"
#include "core/image.h"
#include "fuzz.h"
#include "lib/sim_storage.h"
#include "wal/record.h"

const unsigned fuzz_runs = 1500;

#define NUMBER       3u
#define CHANGES_MAX  16u
#define HEADER_END   288u /* the header's checksum */
#define HEADER_END_2 304u /* and the second one, behind it */

static const struct inventory_options sizes = {
    .items_max = 16, .orders_max = 256, .hold_ms_default = 1000, .hold_ms_max = 1000};

static struct storage *original;
static char name[STORAGE_NAME_BYTES_MAX];

/* ---- The checkpoint before it is tampered with ---- */

static void put(struct frame_writer *writer, enum frame_kind kind, const void *record,
                uint32_t bytes)
{
    enum hf_status status;
    uint8_t *to = frame_writer_room(writer, kind, bytes, &status);
    FUZZ_CHECK(to != NULL, "no room");
    memcpy(to, record, bytes);
    frame_writer_added(writer, bytes);
}

enum { ORDERS = 24 };

static int compare_ids(const void *a, const void *b)
{
    uint64_t x = id_hash(*(const struct id128 *)a);
    uint64_t y = id_hash(*(const struct id128 *)b);
    return (x > y) - (x < y);
}

/* What the ledger counts of the orders. */
static uint32_t buyer_units[3];       /* of SKU 2 */
static uint32_t ticket_units[ORDERS]; /* of item 1; [0]: of ticket 1 */
static uint32_t tickets;

/* A third of the orders is shaped: what they have of item 1 is pre-sold, and of item 2 counted. */
static bool shape(struct order_line_view *lines, enum order_state state, uint64_t buyer)
{
    uint32_t live = state == ORDER_HELD || state == ORDER_COMMITTED;
    lines[0].line = 1;
    lines[0].presale_qty = 2;
    lines[0].ticket = ++tickets;
    lines[1].line = 2;
    lines[1].counted = buyer != 0;
    ticket_units[tickets - 1] = 2 * live;
    buyer_units[buyer] += buyer != 0 ? live : 0;
    return true;
}

/* Orders of all states, plain ones and some of two lines; item 1 sells 2 units to each. */
static void put_orders(struct frame_writer *writer)
{
    struct id128 ids[ORDERS];
    for (uint64_t i = 0; i < ORDERS; i++) {
        ids[i] = (struct id128){i * 0x1111, i};
    }
    qsort(ids, ORDERS, sizeof ids[0], compare_ids);
    struct checkpoint_header *header = &writer->header;
    unsigned part = 0;
    for (unsigned i = 0; i < ORDERS; i++) {
        enum order_state state = (enum order_state)(ORDER_HELD + i % 5);
        struct order_line_view lines[] = {{.item = 1, .qty = 2}, {.item = 2, .qty = 1}};
        for (unsigned line = 0; line < 2; line++) {
            lines[line].released = state == ORDER_RELEASED ? lines[line].qty : 0;
            lines[line].committed =
                state == ORDER_COMMITTED || state == ORDER_RETURNED ? lines[line].qty : 0;
            lines[line].returned = state == ORDER_RETURNED ? lines[line].qty : 0;
        }
        bool shaped = i % 3 == 1 && shape(lines, state, i % 4 % 3);
        struct order_image image = {.id = ids[i],
                                    .buyer = i % 4 % 3,
                                    .lsn = 100 + i,
                                    .deadline_ms = 1794355200000ull + i,
                                    .state = state,
                                    .contents = shaped ? 0xAB0002 : 0,
                                    .shaped = shaped,
                                    .block = shaped || i % 5 == 0,
                                    .line_count = shaped || i % 5 == 0 ? 2 : 1,
                                    .lines = lines};
        while (part <= id_hash(ids[i]) >> 60) {
            FUZZ_CHECK(frame_writer_flush(writer) == HF_OK, "not written");
            header->seek_offset[part++] = writer->offset;
        }
        uint8_t record[ORDER_RECORD_BYTES_MAX];
        put(writer, FRAME_ORDERS, record, order_record_encode(record, &image));
        header->info.orders++;
        header->info.orders_held += state == ORDER_HELD;
    }
    FUZZ_CHECK(frame_writer_flush(writer) == HF_OK, "not written");
    while (part < CHECKPOINT_SEEKS) {
        header->seek_offset[part++] = writer->offset;
    }
}

static void put_ledger(struct frame_writer *writer)
{
    static uint8_t record[WAL_RECORD_BYTES_MAX];
    static const char *const skus[] = {"phone", "case"};
    for (uint32_t i = 0; i < 2; i++) {
        const struct sku_rule rule = {.sku = bytes_of(skus[i]), .limit_per_buyer = i ? 9 : 0};
        put(writer, FRAME_LEDGER, record,
            record_encode(&(struct event){.type = EVENT_SKU_DEFINED, .sku = &rule}, record));
    }
    for (uint32_t i = 0; i < 2; i++) {
        const struct item_def def = {
            .item = i + 1, .sku = bytes_of(skus[i]), .pool = bytes_of("east"), .presale_cap = 9};
        put(writer, FRAME_LEDGER, record,
            record_encode(&(struct event){.type = EVENT_ITEM_DEFINED, .item = &def}, record));
        put(writer, FRAME_LEDGER, record, stock_record_encode(record, i + 1, 1000, 10));
    }
    const struct adjustment_made made = {.id = {1, 2}, .item = 1, .delta = 1000, .stocked = 1000};
    put(writer, FRAME_LEDGER, record, adjustment_record_encode(record, &made));
    for (uint64_t buyer = 1; buyer < 3; buyer++) {
        uint32_t units = buyer_units[buyer];
        put(writer, FRAME_LEDGER, record, buyer_record_encode(record, 2, buyer, units));
    }
    put(writer, FRAME_LEDGER, record, buyer_record_encode(record, 2, 7, 3));
    for (uint32_t i = 0; i < tickets; i++) {
        put(writer, FRAME_LEDGER, record, ticket_record_encode(record, 1, i + 1, ticket_units[i]));
    }
    /* Of a forgotten order. */
    put(writer, FRAME_LEDGER, record, ticket_record_encode(record, 1, tickets + 1, 2));
    struct wal_marks marks = {.count = 2, .marks = {{100, 1000}, {200, 2000}}};
    put(writer, FRAME_LEDGER, record, mark_record_encode(record, &marks, 0));
    put(writer, FRAME_LEDGER, record, mark_record_encode(record, &marks, 1));
}

static void make_checkpoint(void)
{
    original = sim_storage_make(1);
    checkpoint_name(name, NUMBER);
    struct frame_writer writer;
    FUZZ_CHECK(frame_writer_open(&writer, original, NUMBER) == HF_OK, "not made");
    struct checkpoint_info *info = &writer.header.info;
    info->start = (struct wal_start){
        .cluster = {11, 12}, .segment = NUMBER + 1, .lsn = 5000, .next_index = 50, .term = 1};
    info->skus = 2;
    info->items = 2;
    put_orders(&writer);
    writer.header.ledger_offset = writer.offset;
    put_ledger(&writer);
    FUZZ_CHECK(frame_writer_finish(&writer) == HF_OK, "not finished");
    struct checkpoint_info found;
    FUZZ_CHECK(checkpoint_verify(original, NUMBER, &found, NULL, NULL) == HF_OK, "%s",
               found.message);
}

/* ---- Changes ---- */

struct tamper {
    struct storage *storage;
    struct cursor input;
    bool sealed; /* a checksum was made right */
};

static uint8_t *file_data(const struct tamper *tamper, uint64_t *size)
{
    return sim_storage_data(tamper->storage, name, size);
}

/* Makes all checksums right: of each frame that still looks like one, of the chain, of the header.
 */
static void seal(struct tamper *tamper)
{
    uint64_t size;
    uint8_t *data = file_data(tamper, &size);
    uint64_t chain = 0;
    if (size < WAL_PAGE_BYTES) {
        return;
    }
    tamper->sealed = true;
    for (uint64_t at = WAL_PAGE_BYTES; at + WAL_PAGE_BYTES <= size;) {
        struct frame_header header;
        const char *reason;
        if (!frame_decode(&header, data + at, &reason) ||
            frame_span(header.payload_bytes) > size - at) {
            at += WAL_PAGE_BYTES;
            continue;
        }
        frame_encode(&header, data + at);
        chain = frame_chain(chain, header.hash);
        at += frame_span(header.payload_bytes);
    }
    store_u64(data + 152, chain);
    store_u64(data + HEADER_END, hash_bytes(data, HEADER_END));
    store_u64(data + HEADER_END_2, hash_bytes(data, HEADER_END_2));
}

/* The file with another size. */
static void resize(struct tamper *tamper)
{
    uint64_t size;
    const uint8_t *data = file_data(tamper, &size);
    uint64_t pages = cursor_u8(&tamper->input) % (size / WAL_PAGE_BYTES + 2);
    uint64_t bytes = pages * WAL_PAGE_BYTES + (cursor_u8(&tamper->input) % 4 == 0 ? 512 : 0);
    uint8_t *copy = malloc(size);
    FUZZ_CHECK(copy != NULL, "out of memory");
    memcpy(copy, data, size);
    (void)tamper->storage->ops->create_zeroed(tamper->storage, name, bytes);
    memcpy(file_data(tamper, &bytes), copy, bytes < size ? bytes : size);
    free(copy);
}

/* A number in some record of an order or of the ledger becomes another small one. */
static void contradict(struct tamper *tamper)
{
    uint64_t size;
    uint8_t *data = file_data(tamper, &size);
    unsigned left = cursor_u8(&tamper->input);
    uint32_t word = cursor_u8(&tamper->input);
    uint8_t value = cursor_u8(&tamper->input) % 12;
    for (uint64_t at = WAL_PAGE_BYTES; at + WAL_PAGE_BYTES <= size;) {
        struct frame_header header;
        const char *reason;
        if (!frame_decode(&header, data + at, &reason) ||
            frame_span(header.payload_bytes) > size - at) {
            break;
        }
        uint8_t *record = data + at + FRAME_HEADER_BYTES;
        size_t rest = header.payload_bytes;
        unsigned type;
        uint32_t bytes;
        while (checkpoint_record_peek(record, rest, &type, &bytes)) {
            if (left-- == 0) {
                uint32_t words = bytes / 4 - 1; /* the first has the type; its state, then */
                if (word % words == 0) {
                    record[2] = value;
                } else {
                    store_u32(record + 4 + word % words * 4, value);
                }
                seal(tamper);
                return;
            }
            record += bytes;
            rest -= bytes;
        }
        at += frame_span(header.payload_bytes);
    }
}

static void change(struct tamper *tamper)
{
    unsigned kind = cursor_u8(&tamper->input) % 9;
    uint64_t size;
    uint8_t *data = file_data(tamper, &size);
    uint64_t page = cursor_u8(&tamper->input) % (size / WAL_PAGE_BYTES + 1);
    /* What is used lies at the pages' beginnings. */
    uint64_t at = page * WAL_PAGE_BYTES + cursor_u16(&tamper->input) % 512;
    if (kind == 8) {
        contradict(tamper);
    } else if (kind == 7) {
        seal(tamper);
    } else if (kind == 6) {
        resize(tamper);
    } else if (at + 8 > size) {
        return;
    } else if (kind <= 2) {
        data[at] = (uint8_t)(data[at] ^ cursor_u8(&tamper->input));
    } else if (kind == 3) {
        store_u64(data + at / 8 * 8, cursor_u64(&tamper->input));
    } else if (kind == 4) {
        uint8_t value = cursor_u8(&tamper->input);
        static const uint32_t bounds[] = {QTY_MAX,
                                          QTY_MAX + 1,
                                          ORDER_LINES_MAX,
                                          ORDER_LINES_MAX + 1,
                                          ITEMS_MAX + 1,
                                          (uint32_t)(STOCK_MAX >> 32), /* the upper half of 2^53 */
                                          (uint32_t)(STOCK_MAX >> 32) + 1,
                                          INT32_MAX,
                                          (uint32_t)INT32_MAX + 1,
                                          UINT32_MAX};
        store_u32(data + at / 4 * 4, value < 128 ? value : bounds[value % 10]);
    } else if (page * WAL_PAGE_BYTES + WAL_PAGE_BYTES <= size) {
        uint64_t from = cursor_u8(&tamper->input) % (size / WAL_PAGE_BYTES);
        memmove(data + page * WAL_PAGE_BYTES, data + from * WAL_PAGE_BYTES, WAL_PAGE_BYTES);
    }
}

/* ---- What becomes of it ---- */

struct work {
    struct inventory *inventory;
    struct txn *txn;
    uint64_t lsn;
};

static void work_publish(struct work *work)
{
    for (uint32_t i = 0; i < work->txn->event_count; i++) {
        work->txn->events[i].lsn = work->lsn += 48;
    }
    inventory_publish(work->txn);
}

#define WORK(work, call)                                                                           \
    do {                                                                                           \
        while ((call) == TXN_AGAIN) {                                                              \
            FUZZ_CHECK((work)->txn->event_count > 0, "goes round");                                \
            work_publish(work);                                                                    \
        }                                                                                          \
        work_publish(work);                                                                        \
    } while (0)

/* Something of each kind with the orders that there were. */
static void work_edit(struct work *work, unsigned turn)
{
    struct order_outcome outcome;
    for (unsigned i = 0; i < ORDERS; i++) {
        const struct order_edit edit = {.id = {i * 0x1111, i}, .late_ok = true};
        switch ((i + turn) % 4) {
        case 0:
            WORK(work, inventory_commit(work->txn, &edit, &outcome));
            break;
        case 1:
            WORK(work, inventory_release(work->txn, &edit, &outcome));
            break;
        case 2:
            WORK(work, inventory_return(work->txn, &edit, &outcome));
            break;
        default:
            WORK(work, inventory_extend(work->txn, edit.id, 5, &outcome));
        }
    }
}

static void work_reserve(struct work *work, uint64_t first)
{
    static const struct order_line lines[] = {{1, 3}, {2, 1}};
    for (uint64_t i = first; i < first + 8; i++) {
        const struct order_request request = {
            .id = {0xF0, i}, .buyer = 1 + i % 2, .line_count = 2, .lines = lines};
        struct order_outcome outcome;
        bool known =
            inventory_has_item(work->inventory, 1) && inventory_has_item(work->inventory, 2);
        if (known) {
            WORK(work, inventory_reserve(work->txn, &request, &outcome));
        }
        const struct order_edit edit = {.id = request.id};
        if (known && i % 2) {
            WORK(work, inventory_release(work->txn, &edit, &outcome));
        }
    }
}

/* A day of an engine that has started with it. */
static void drive(struct inventory *inventory)
{
    struct work work = {.inventory = inventory, .txn = malloc(sizeof *work.txn), .lsn = 10000};
    struct order_cursor cursor = {0};
    FUZZ_CHECK(work.txn != NULL && txn_init(work.txn, inventory, 0) == HF_OK, "out of memory");
    inventory_replayed(inventory);
    work.txn->now_ms = 1794355100000ull;
    work_reserve(&work, 0);
    work_edit(&work, 0);
    work.txn->now_ms = 1794356300000ull;
    WORK(&work, inventory_expire(work.txn));
    for (unsigned turn = 0; turn < 4; turn++) {
        work_edit(&work, turn);
    }
    work_reserve(&work, 100);
    WORK(&work, inventory_forget(work.txn, work.lsn, &cursor, 1000, NULL));
    txn_deinit(work.txn);
    free(work.txn);
}

static enum hf_status load(struct storage *storage, unsigned threads, uint64_t *digest)
{
    struct inventory *inventory;
    struct checkpoint_info info;
    FUZZ_CHECK(inventory_init(&inventory, &sizes) == HF_OK, "out of memory");
    enum hf_status status = checkpoint_load(storage, NUMBER, inventory, threads, &info, NULL, NULL);
    FUZZ_CHECK(status == HF_OK || status == HF_DAMAGED || status == HF_FULL ||
                   status == HF_NO_MEMORY || status == HF_NOT_FOUND,
               "%s", hf_status_name(status));
    FUZZ_CHECK(status != HF_DAMAGED || info.message[0] != '\0', "damaged, without a message");
    FUZZ_CHECK(memchr(info.message, '\0', sizeof info.message), "a message does not end");
    if (status == HF_OK) {
        struct inventory_counts counts;
        inventory_counts(inventory, &counts);
        FUZZ_CHECK(counts.orders_known == info.orders && counts.orders_held == info.orders_held,
                   "the header counts other orders than there are");
        *digest = inventory_digest(inventory);
        if (threads == 1) {
            drive(inventory);
        }
    }
    inventory_deinit(inventory);
    return status;
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    if (!original) {
        make_checkpoint();
    }
    struct tamper tamper = {.storage = sim_storage_copy(original, 1),
                            .input = cursor_over(data, size)};
    for (unsigned i = 0; i < CHANGES_MAX && cursor_left(&tamper.input) > 0; i++) {
        change(&tamper);
    }
    uint64_t digests[2] = {0};
    enum hf_status one = load(tamper.storage, 1, &digests[0]);
    enum hf_status two = load(tamper.storage, 2, &digests[1]);
    FUZZ_CHECK((one == HF_OK) == (two == HF_OK), "%s with one thread, %s with two",
               hf_status_name(one), hf_status_name(two));
    FUZZ_CHECK(digests[0] == digests[1], "two loads differ");
    struct checkpoint_info info;
    enum hf_status checked = checkpoint_verify(tamper.storage, NUMBER, &info, NULL, NULL);
    FUZZ_CHECK(one != HF_OK || checked == HF_OK, "loaded, but %s", info.message);
    uint64_t length;
    uint64_t before_length;
    const uint8_t *now = sim_storage_data(tamper.storage, name, &length);
    const uint8_t *before = sim_storage_data(original, name, &before_length);
    bool same = length == before_length && memcmp(now, before, length) == 0;
    FUZZ_CHECK(!same || one == HF_OK, "unchanged, and refused");
    FUZZ_CHECK(same || tamper.sealed || checked != HF_OK, "a change was not noticed");
    storage_destroy(tamper.storage);
    return 0;
}

/* One contradiction and nothing else. */
static size_t seed_contradiction(struct rng *rng, uint8_t *to)
{
    memset(to, 0, 4);
    to[0] = 8; /* no page and no place in it */
    to[4] = (uint8_t)rng_below(rng, ORDERS + 20);
    to[5] = (uint8_t)rng_below(rng, 35);
    to[6] = (uint8_t)rng_below(rng, 12);
    return 7;
}

size_t fuzz_seed(struct rng *rng, uint8_t *to, size_t room)
{
    size_t len = 0;
    if (rng_chance(rng, 2)) {
        return seed_contradiction(rng, to);
    }
    for (uint64_t changes = rng_between(rng, 1, 4); changes > 0 && len + 32 < room; changes--) {
        to[len++] = (uint8_t)rng_below(rng, 7);
        to[len++] = (uint8_t)rng_below(rng, 20);
        uint64_t at = rng_chance(rng, 2) ? rng_below(rng, 512) : rng_below(rng, 36) * 8;
        to[len++] = (uint8_t)at;
        to[len++] = (uint8_t)(at >> 8);
        to[len++] = (uint8_t)(rng_chance(rng, 2) ? rng_below(rng, 3) : rng_next(rng));
        if (rng_chance(rng, 2)) {
            to[len++] = 7;
            to[len++] = 0;
            to[len++] = 0;
            to[len++] = 0;
        }
    }
    return len;
}
