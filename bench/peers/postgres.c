/* postgres.c - holds in PostgreSQL: a function that does what a reserve does.
 *
 * --mode prepare makes the tables and functions of postgres.sql (read from --file) and stocks
 * --skus SKUs. Otherwise --connections threads call reserve(), or reserve_batch() when --batch is
 * above 1, as prepared statements, each its own transaction. */
#include <libpq-fe.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "peer.h"

#define BATCH_MAX  1000u
#define ID_CHARS   36u
#define ITEM_CHARS (ID_CHARS + 1u)

static PGconn *open_connection(const struct peer_options *options)
{
    char where[128];
    snprintf(where, sizeof where, "host=%s port=%u user=postgres dbname=postgres", options->host,
             options->port);
    PGconn *connection = PQconnectdb(where);
    if (PQstatus(connection) != CONNECTION_OK) {
        peer_fail("postgres: %s", PQerrorMessage(connection));
    }
    return connection;
}

/* Takes the result; returns its first number, or 0 when it has none. */
static long take_result(PGconn *connection, PGresult *result)
{
    ExecStatusType status = PQresultStatus(result);
    if (status != PGRES_TUPLES_OK && status != PGRES_COMMAND_OK) {
        peer_fail("postgres: %s", PQerrorMessage(connection));
    }
    long number = PQntuples(result) > 0 ? strtol(PQgetvalue(result, 0, 0), NULL, 10) : 0;
    PQclear(result);
    return number;
}

static void prepare(const struct peer_options *options)
{
    static char text[1 << 16];
    FILE *file = options->file ? fopen(options->file, "r") : NULL;
    if (!file) {
        peer_fail("--file postgres.sql can't be read");
    }
    text[fread(text, 1, sizeof text - 1, file)] = '\0';
    fclose(file);
    PGconn *connection = open_connection(options);
    take_result(connection, PQexec(connection, text));
    snprintf(text, sizeof text,
             "insert into stock select i, 1000000000 from generate_series(0, %u) as i",
             options->skus - 1);
    take_result(connection, PQexec(connection, text));
    take_result(connection, PQexec(connection, "vacuum analyze stock"));
    take_result(connection, PQexec(connection, "checkpoint"));
    PQfinish(connection);
}

/* The next order's id as text: ids count up, which suits the primary key's tree best. */
static void put_id(char *to, struct peer_worker *worker)
{
    uint64_t lo = worker->next_lo++;
    snprintf(to, ID_CHARS + 1, "%08x-%04x-%04x-%04x-%012llx", (unsigned)(worker->id_hi >> 32),
             (unsigned)(worker->id_hi >> 16 & 0xffff), (unsigned)(worker->id_hi & 0xffff),
             (unsigned)(lo >> 48 & 0xffff), (unsigned long long)(lo & 0xffffffffffff));
}

struct arguments {
    char ids[BATCH_MAX * ITEM_CHARS + 3];
    char skus[BATCH_MAX * 12 + 3];
    char qtys[BATCH_MAX * 2 + 3];
    const char *values[3];
};

static void fill_one(struct arguments *arguments, struct peer_worker *worker)
{
    put_id(arguments->ids, worker);
    snprintf(arguments->skus, sizeof arguments->skus, "%u", peer_next_sku(worker));
    memcpy(arguments->qtys, "1", 2);
}

/* Three arrays as text: {a,b,c}. */
static void fill_batch(struct arguments *arguments, struct peer_worker *worker)
{
    char *id = arguments->ids;
    char *sku = arguments->skus;
    char *qty = arguments->qtys;
    for (uint32_t i = 0; i < worker->options->batch; i++) {
        *id++ = *sku++ = *qty++ = i == 0 ? '{' : ',';
        put_id(id, worker);
        id += ID_CHARS;
        sku += snprintf(sku, 12, "%u", peer_next_sku(worker));
        *qty++ = '1';
    }
    *id++ = *sku++ = *qty++ = '}';
    *id = *sku = *qty = '\0';
}

static void work(struct peer_worker *worker)
{
    uint32_t batch = worker->options->batch;
    PGconn *connection = open_connection(worker->options);
    struct arguments *arguments = calloc(1, sizeof *arguments);
    if (!arguments) {
        peer_fail("out of memory");
    }
    arguments->values[0] = arguments->ids;
    arguments->values[1] = arguments->skus;
    arguments->values[2] = arguments->qtys;
    const char *statement =
        batch == 1 ? "select reserve($1, $2, $3)" : "select reserve_batch($1, $2, $3)";
    take_result(connection, PQprepare(connection, "reserve", statement, 3, NULL));
    while (peer_goes_on()) {
        uint64_t since = peer_now_ns();
        if (batch == 1) {
            fill_one(arguments, worker);
        } else {
            fill_batch(arguments, worker);
        }
        long held = take_result(
            connection, PQexecPrepared(connection, "reserve", 3, arguments->values, NULL, NULL, 0));
        if (held != (long)batch) {
            peer_fail("postgres: %ld of %u orders were held, though there is stock", held, batch);
        }
        peer_count(worker, batch, since);
    }
    PQfinish(connection);
    free(arguments);
}

int main(int argc, char **argv)
{
    struct peer_options options;
    peer_options_parse(&options, argc, argv);
    if (options.port == 0 || options.batch > BATCH_MAX) {
        peer_fail("--port is needed; --batch is at most %u", BATCH_MAX);
    }
    if (options.mode && strcmp(options.mode, "prepare") == 0) {
        prepare(&options);
    } else {
        peer_run(&options, work);
    }
    return 0;
}
