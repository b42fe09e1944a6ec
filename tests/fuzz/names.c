/* names.c - fuzzes what a log's folder says by its files' names: segments, spares, checkpoints and
 * marks with any numbers, cut, doubled, or not quite such names.
 *
 * A name is read as its kind and number exactly where it is what they would be written as. Lists
 * are sorted, and what they are taken to prove is told in words that end. Then a log of these
 * files, which are empty or hold zeros, is opened to be read, and ends without a block. Threads:
 * one. */
#include <string.h>

#include "fuzz.h"
#include "lib/sim_storage.h"
#include "wal/catalogue.h"
#include "wal/reader.h"

const unsigned fuzz_runs = 20000;

#define FILES_MAX 24u

static const enum segment_kind kinds[] = {SEGMENT_LOG, SEGMENT_SPARE, SEGMENT_CHECKPOINT,
                                          SEGMENT_BEGUN};

static void check_name(const char *name)
{
    unsigned read = 0;
    for (unsigned i = 0; i < 4; i++) {
        uint64_t number;
        char written[STORAGE_NAME_BYTES_MAX];
        if (segment_name_parse(name, kinds[i], &number)) {
            segment_name(written, kinds[i], number);
            FUZZ_CHECK(strcmp(written, name) == 0, "%s is read as %s", name, written);
            read++;
        }
    }
    FUZZ_CHECK(read <= 1, "%s has two meanings", name);
}

static void check_list(const struct segment_list *list)
{
    for (size_t i = 1; i < list->count; i++) {
        FUZZ_CHECK(list->numbers[i - 1] < list->numbers[i], "not sorted");
    }
}

static void check_fault(bool any, const struct catalogue_fault *fault)
{
    FUZZ_CHECK(any == fault->any, "a fault that is told and not told");
    FUZZ_CHECK(memchr(fault->file, '\0', sizeof fault->file), "a name does not end");
    FUZZ_CHECK(memchr(fault->reason, '\0', sizeof fault->reason), "a reason does not end");
    FUZZ_CHECK(!any || fault->reason[0] != '\0', "a fault without a reason");
}

static void check_catalogue(struct storage *storage, uint64_t number)
{
    struct catalogue catalogue;
    struct catalogue_fault fault;
    FUZZ_CHECK(catalogue_read(&catalogue, storage) == HF_OK, "not read");
    check_list(&catalogue.segments);
    check_list(&catalogue.spares);
    check_list(&catalogue.checkpoints);
    check_list(&catalogue.begun);
    const uint64_t numbers[] = {0, 1, number, number + 1, UINT64_MAX};
    for (unsigned i = 0; i < 5; i++) {
        for (unsigned k = 0; k < 5; k++) {
            check_fault(catalogue_gap(&catalogue, numbers[i], numbers[k], &fault), &fault);
        }
        check_fault(catalogue_short(&catalogue, numbers[i], &fault), &fault);
    }
    FUZZ_CHECK(catalogue_covered(&catalogue, storage, number, &fault) == HF_OK, "no memory");
    check_fault(fault.any, &fault);
    FUZZ_CHECK(catalogue_foreign(&catalogue, storage, (struct id128){1, 2}, &fault) == HF_OK,
               "no memory");
    check_fault(fault.any, &fault);
    catalogue_free(&catalogue);
}

static void check_reading(struct storage *storage)
{
    struct wal_reader *reader;
    struct wal_block block;
    struct wal_end end;
    FUZZ_CHECK(wal_reader_open(&reader, storage) == HF_OK, "not opened");
    FUZZ_CHECK(wal_reader_next(reader, &block) != HF_OK, "a block of zeros");
    wal_reader_end(reader, &end);
    wal_reader_close(reader);
    FUZZ_CHECK(memchr(end.reason, '\0', sizeof end.reason), "a reason does not end");
    FUZZ_CHECK(!end.damaged || end.reason[0] != '\0', "damaged, without a reason");
}

/* The input: names between line ends, before each a byte that says what is in the file. */
int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    struct storage *storage = sim_storage_make(1);
    uint64_t last = 0;
    size_t at = 0;
    for (unsigned files = 0; files < FILES_MAX && at < size; files++) {
        unsigned content = data[at++] % 3;
        char name[STORAGE_NAME_BYTES_MAX];
        size_t len = 0;
        while (at < size && data[at] != '\n') {
            if (len + sizeof ".tmp" < sizeof name && data[at] != '\0' && data[at] != '/') {
                name[len++] = (char)data[at];
            }
            at++;
        }
        at++;
        name[len] = '\0';
        if (len == 0) {
            continue;
        }
        check_name(name);
        for (unsigned i = 0; i < 4; i++) {
            (void)segment_name_parse(name, kinds[i], &last);
        }
        FUZZ_CHECK(storage->ops->create_zeroed(storage, name, content * 4096u) == HF_OK, "%s",
                   name);
    }
    check_catalogue(storage, last);
    check_reading(storage);
    storage_destroy(storage);
    return 0;
}

size_t fuzz_seed(struct rng *rng, uint8_t *to, size_t room)
{
    size_t len = 0;
    for (uint64_t files = rng_between(rng, 1, 10); files > 0; files--) {
        char name[STORAGE_NAME_BYTES_MAX];
        uint64_t number = rng_chance(rng, 6) ? fuzz_number(rng) : rng_below(rng, 9);
        segment_name(name, kinds[rng_below(rng, 4)], number);
        size_t more = strlen(name);
        if (len + more + 2 <= room) {
            to[len++] = (uint8_t)rng_below(rng, 3);
            memcpy(to + len, name, more);
            len += more;
            to[len++] = '\n';
        }
    }
    return len;
}
