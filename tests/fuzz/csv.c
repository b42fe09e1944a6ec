/* csv.c - fuzzes the CSV reader, over memory and over a file.
 *
 * What was read, written again with every field quoted, reads as the same rows. A file that is not
 * gzip gives what the same bytes in memory give. Threads: one. */
#include "base/csv.h"

#include <string.h>
#include <sys/mman.h>
#include <unistd.h>
#include <zlib.h>

#include "base/hash.h"
#include "fuzz.h"

const unsigned fuzz_runs = 6000;

/* What a reading came to. */
struct reading {
    enum hf_status status; /* NOT_FOUND: to the end */
    uint64_t rows;
    uint64_t hash; /* of all fields of all rows, in order */
    char *quoted;  /* the same rows again */
    size_t quoted_len;
};

static void quote(FILE *to, const uint8_t *data, size_t len)
{
    fputc('"', to);
    for (size_t i = 0; i < len; i++) {
        if (data[i] == '"') {
            fputc('"', to);
        }
        fputc(data[i], to);
    }
    fputc('"', to);
}

static uint64_t mix(uint64_t hash, const uint8_t *data, size_t len)
{
    return hash_u64(hash * 31 + hash_bytes(data, len) + len);
}

static void take_header(struct csv *csv, struct reading *reading, FILE *to)
{
    uint32_t count = csv_column_count(csv);
    FUZZ_CHECK(count >= 1 && count <= CSV_FIELDS_MAX, "%u columns", count);
    for (uint32_t i = 0; i < count; i++) {
        const char *name = csv_column_name(csv, i);
        FUZZ_CHECK(name[0] != '\0', "column %u has no name", i);
        FUZZ_CHECK(csv_column(csv, name) == (int)i, "column %u, \"%s\"", i, name);
        reading->hash = mix(reading->hash, (const uint8_t *)name, strlen(name));
        fputs(i ? "," : "", to);
        quote(to, (const uint8_t *)name, strlen(name));
    }
    fputs("\r\n", to);
}

static void take_row(struct csv *csv, const struct csv_row *row, struct reading *reading, FILE *to)
{
    FUZZ_CHECK(row->number >= 2, "row %llu", (unsigned long long)row->number);
    FUZZ_CHECK(row->field_count == csv_column_count(csv), "%u fields", row->field_count);
    uint64_t bytes = 0;
    for (uint32_t i = 0; i < row->field_count; i++) {
        struct bytes field = row->fields[i];
        FUZZ_CHECK(strlen((const char *)field.data) == field.len,
                   "a NUL in or none behind a field");
        bytes += field.len;
        reading->hash = mix(reading->hash, field.data, field.len);
        fputs(i ? "," : "", to);
        /* A row of one empty cell was white space; without any it is an empty line. */
        bool white = row->field_count == 1 && field.len == 0;
        quote(to, white ? (const uint8_t *)" " : field.data, white ? 1 : field.len);
    }
    FUZZ_CHECK(bytes <= CSV_ROW_BYTES_MAX, "a row of %llu bytes", (unsigned long long)bytes);
    fputs("\r\n", to);
    reading->rows++;
}

/* Reads to the end, or to the first error. `content`: what the hash must be of; NULL: unknown. */
static void read_all(struct csv *csv, struct reading *reading, const struct bytes *content)
{
    FILE *to = open_memstream(&reading->quoted, &reading->quoted_len);
    FUZZ_CHECK(to, "out of memory");
    take_header(csv, reading, to);
    struct csv_row row;
    uint64_t number = 1;
    while ((reading->status = csv_next(csv, &row)) == HF_OK) {
        FUZZ_CHECK(row.number > number, "row %llu", (unsigned long long)row.number);
        number = row.number;
        take_row(csv, &row, reading, to);
    }
    FUZZ_CHECK(csv_next(csv, &row) == reading->status, "another end");
    if (reading->status == HF_NOT_FOUND) {
        FUZZ_CHECK(!content || csv_content_hash(csv) == hash_bytes(content->data, content->len),
                   "the content's hash");
    } else {
        FUZZ_CHECK(csv_error(csv)[0] != '\0', "refused without a reason");
    }
    fclose(to);
    csv_close(csv);
}

static struct reading read_bytes(struct bytes content)
{
    struct reading reading = {0};
    struct csv *csv;
    char error[CSV_ERROR_BYTES] = "";
    reading.status = csv_open_bytes(&csv, content, error);
    if (reading.status == HF_OK) {
        read_all(csv, &reading, &content);
    } else {
        FUZZ_CHECK(reading.status == HF_INVALID && error[0] != '\0', "refused without a reason");
    }
    return reading;
}

static struct reading read_file(struct bytes content)
{
    int file = memfd_create("csv", 0);
    FUZZ_CHECK(file >= 0, "no memory file");
    FUZZ_CHECK(write(file, content.data, content.len) == (ssize_t)content.len, "no room");
    char path[64];
    snprintf(path, sizeof path, "/proc/self/fd/%d", file);
    struct reading reading = {0};
    struct csv *csv;
    char error[CSV_ERROR_BYTES] = "";
    reading.status = csv_open(&csv, path, NULL, error);
    if (reading.status == HF_OK) {
        read_all(csv, &reading, NULL);
    } else {
        FUZZ_CHECK(error[0] != '\0', "refused without a reason");
    }
    close(file);
    return reading;
}

static void check_same(const struct reading *a, const struct reading *b)
{
    FUZZ_CHECK(a->status == b->status, "%d and %d", a->status, b->status);
    FUZZ_CHECK(a->rows == b->rows && a->hash == b->hash, "%llu and %llu rows",
               (unsigned long long)a->rows, (unsigned long long)b->rows);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    struct bytes content = {data, size};
    struct reading in_memory = read_bytes(content);
    struct reading in_file = read_file(content);
    bool gzip = size >= 2 && data[0] == 0x1F && data[1] == 0x8B;
    if (!gzip) {
        check_same(&in_memory, &in_file);
    }
    if (in_memory.status == HF_NOT_FOUND) {
        struct bytes quoted = {(const uint8_t *)in_memory.quoted, in_memory.quoted_len};
        struct reading again = read_bytes(quoted);
        check_same(&in_memory, &again);
        free(again.quoted);
    }
    free(in_memory.quoted);
    free(in_file.quoted);
    return 0;
}

static size_t gzip_seed(const uint8_t *text, size_t len, uint8_t *to, size_t room)
{
    z_stream stream = {0};
    FUZZ_CHECK(deflateInit2(&stream, 6, Z_DEFLATED, 31, 8, Z_DEFAULT_STRATEGY) == Z_OK, "zlib");
    stream.next_in = (uint8_t *)(uintptr_t)text;
    stream.avail_in = (uInt)len;
    stream.next_out = to;
    stream.avail_out = (uInt)room;
    FUZZ_CHECK(deflate(&stream, Z_FINISH) == Z_STREAM_END, "zlib");
    deflateEnd(&stream);
    return room - stream.avail_out;
}

size_t fuzz_seed(struct rng *rng, uint8_t *to, size_t room)
{
    static const char *const pieces[] = {
        "sku,pool,qty", "\n", "\r\n", "a,b,c",  "\"a,b\",\"\"\"\",c", ",",  ",,",   "\"",
        "\"\n\"",       "\r", " SKU", "85123A", "\xE6\x89\x8B",       "\t", "\"\"", "\n\n",
    };
    uint8_t text[1024];
    size_t len = 0;
    if (rng_chance(rng, 8)) {
        memcpy(text, "\xEF\xBB\xBF", 3);
        len = 3;
    }
    memcpy(text + len, "sku,pool,qty\n", 13);
    len += 13;
    bool proper = rng_chance(rng, 2);
    for (uint64_t count = rng_below(rng, 20); count > 0; count--) {
        const char *piece = proper ? pieces[3 + rng_below(rng, 2)]
                                   : pieces[rng_below(rng, sizeof pieces / sizeof pieces[0])];
        memcpy(text + len, piece, strlen(piece));
        len += strlen(piece);
        if (proper) {
            text[len++] = '\n';
        }
    }
    if (rng_chance(rng, 4)) {
        return gzip_seed(text, len, to, room);
    }
    memcpy(to, text, len);
    return len;
}
