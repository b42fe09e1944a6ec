/* limits.h - every limit of the engine in one place, with the checks between them.
 *
 * A limit that an operator may set has its default here and its name in server/config.c. */
#ifndef BASE_LIMITS_H
#define BASE_LIMITS_H

#include <assert.h>
#include <stdint.h>

#define CACHE_LINE_BYTES 64
#define KIB(n)           ((uint64_t)(n) << 10)
#define MIB(n)           ((uint64_t)(n) << 20)
#define GIB(n)           ((uint64_t)(n) << 30)

/* ---- What a request may carry (docs/protocol.md, Limits) ---- */
#define CODE_BYTES_MAX   64u  /* a SKU's or pool's code */
#define LABEL_BYTES_MAX  256u /* a SKU's label */
#define REASON_BYTES_MAX 128u /* an adjustment's reason, and its reference */
#define TEXT_GIVEN_BYTES_MAX                                                                       \
    4096u                        /* one of these as a caller of the library gives it: white space  \
                                    and uncomposed characters are not counted when it is kept */
#define TOKEN_BYTES_MAX    256u  /* a request's token */
#define ORDER_LINES_MAX    2048u /* lines of one order; grants too: a split line has one an item */
#define LINE_FALLBACKS_MAX 64u   /* items that a line may fall back to */
#define ORDER_FALLBACKS_MAX                                                                        \
    2048u                             /* of all lines of one order: tried under a spin lock, about \
                                         100 ns each */
#define REQUEST_ORDERS_MAX     65536u /* orders of one request, rows or columns */
#define REQUEST_LINES_MAX      131072u /* lines of all orders of one request */
#define REQUEST_ADMIN_MAX      65536u  /* definitions, adjustments, reads of one request */
#define LIST_STOCK_MAX         10000u  /* items of one ListStock answer */
#define LIST_ORDERS_MAX        1000u   /* orders of one ListOrders answer */
#define LIST_ORDERS_LOOKED_MAX 65536u  /* orders that one ListOrders request reads: about 5 ms */
#define QTY_MAX                1000000000u /* units of one line; a sum over 2048 lines fits int64 */
#define STOCK_MAX              ((int64_t)1 << 53) /* units of one item: exact in JSON numbers */
/* When a sale may open or close: the years 2000 to 2099. Smaller numbers are seconds or a date in
 * digits, greater ones micro- or nanoseconds: a sale would be open at once, or never. */
#define SALE_TIME_MS_MIN    946684800000u
#define SALE_TIME_MS_MAX    4102444799999u
#define HOLD_MS_DEFAULT     900000u /* 15 minutes: what Chinese storefronts give a buyer to pay */
#define HOLD_MS_MAX_DEFAULT 604800000u /* 7 days */

/* A message longer than REQUEST_BYTES_MAX is answered with INVALID; one longer than
 * MESSAGE_BYTES_MAX closes its connection, because the transport gathers a message whole before the
 * engine sees any of it (docs/decisions/0003-message-size.md). */
#define REQUEST_BYTES_MAX MIB(8)
#define MESSAGE_BYTES_MAX (MIB(64) + KIB(64))

/* Answers: SP sockets accept 1 MiB by default (NNG_OPT_RECVMAXSZ), and a longer message breaks the
 * connection. Any one order fits ANSWER_BYTES_LEAST. */
#define ANSWER_BYTES_DEFAULT MIB(1)
#define ANSWER_BYTES_LEAST   KIB(256) /* the least that a caller may ask for */

/* protobuf-c turns 1 MiB of empty submessages into 63 MB: decoding stops at this many bytes. */
#define DECODE_ARENA_BYTES_MAX MIB(32)
#define ANSWER_ARENA_BYTES_MAX MIB(32) /* more, for executing and answering a request */

/* ---- Core ---- */
#define READ_ITEMS_AT_ONCE      256u /* items whose stock is read at one moment: some 15 us */
#define THREADS_MAX             64u  /* threads that may be in the core at once */
#define ITEMS_MAX_DEFAULT       (1u << 20)
#define ITEMS_MAX               (1u << 24)
#define ORDERS_MAX_DEFAULT      (1u << 26)
#define ORDERS_MAX              (1u << 30)
#define ORDERS_READY_DEFAULT    (1u << 20)
#define BUYERS_MAX_DEFAULT      (1u << 26)
#define RECOVERY_THREADS_MAX    16u
#define RETAIN_ENDED_MS_DEFAULT 86400000u /* 24 h: how long ended orders are remembered */
#define TXN_EVENTS_MAX          1024u     /* outcomes between two appends of one thread */
#define STOCK_SHARDS            8u        /* shards of an item that is split */

/* ---- Log ---- */
#define WAL_PAGE_BYTES             4096u /* unit of O_DIRECT writes */
#define WAL_SEGMENT_BYTES_DEFAULT  MIB(64)
#define WAL_SEGMENT_BYTES_MIN      MIB(4)
#define WAL_SEGMENT_BYTES_MAX      GIB(4)
#define WAL_GROUP_BYTES_MAX        MIB(1)   /* payload of one block */
#define WAL_GROUPS                 8u       /* group buffers: filling, in flight, free */
#define WAL_RECORD_BYTES_MAX       KIB(256) /* one record */
#define WAL_APPEND_BYTES_MAX       KIB(512) /* one append: the records of a transaction's flush */
#define WAL_SPARE_SEGMENTS_DEFAULT 4u       /* segments prepared before they are needed */
#define WAL_SPARE_SEGMENTS_MAX     16u
#define WAL_BYTES_MAX_DEFAULT      GIB(4)   /* of segments; checkpoints keep the log below it */
#define CHECKPOINT_MEMORY_DEFAULT  MIB(512) /* for sorting */
#define CHECKPOINT_MEMORY_MIN      MIB(1)
#define WAL_DIGEST_EVERY_BYTES     MIB(16) /* log between two DIGEST blocks */

static_assert(WAL_GROUP_BYTES_MAX >= WAL_APPEND_BYTES_MAX, "an append fits a group");

/* The smallest segments that a log with groups of so many bytes works with: each holds two full
 * ones. Only tests make groups smaller than WAL_GROUP_BYTES_MAX, and so segments smaller than
 * WAL_SEGMENT_BYTES_MIN, which is the least that an operator may set. */
#define WAL_SEGMENT_BYTES_LEAST(group_bytes) (2 * ((uint64_t)(group_bytes) + 2 * WAL_PAGE_BYTES))
static_assert(WAL_SEGMENT_BYTES_MIN >= WAL_SEGMENT_BYTES_LEAST(WAL_GROUP_BYTES_MAX),
              "a segment holds two full groups");
static_assert((uint64_t)QTY_MAX * ORDER_LINES_MAX < (uint64_t)STOCK_MAX, "an order's sum fits");

/* ---- Time (docs/decisions/0014-time.md) ---- */
#define CLOCK_SLEW_MS         1000u   /* a wall clock that differs by more has jumped */
#define CLOCK_SLEW_PART       10u     /* of elapsed time: 1/10 of it may be corrected */
#define CLOCK_CONFIRM_MS      300000u /* how long a jump must last to be believed: ntpd's stepout */
#define CLOCK_CONFIRM_STEP_MS 10000u  /* most that counts of the time between two ticks */
#define CLOCK_START_AHEAD_MS                                                                       \
    86400000u /* after another boot: a clock up to so much later is believed */

/* ---- Transport ---- */
#define SERVER_CONTEXTS_DEFAULT   256u /* requests in hand at once */
#define SERVER_CONTEXTS_MAX       4096u
#define QUEUE_TARGET_MS_DEFAULT   5u /* that a request may wait for its turn under overload */
#define QUEUE_INTERVAL_MS_DEFAULT 100u
#define QUEUE_MS_MAX              60000u
#define SERVER_SEND_TIMEOUT_MS    5000 /* a client that does not read for so long is disconnected */
#define SERVER_CONNECTIONS_MAX    16384u /* fewer where there are fewer descriptors */
#define SERVER_IDLE_MS            1000u  /* quiet so long, a connection may go for a newcomer */
#define SERVER_FILES_LEAST        64u    /* descriptors that an engine needs; it takes about 20 */
#define SERVER_FILES_KEPT         384u   /* descriptors that connections must leave free */
#define SERVER_MEMORY_BYTES_MAX   GIB(1) /* of connections' long messages and unread replies */
#define CLIENT_IN_FLIGHT_MAX      64u    /* messages a client has under way at once */
#define CLIENT_BATCH_ORDERS_MAX   4096u  /* orders that the client library puts in one message */

/* ---- Change stream ---- */
#define STREAM_SUBSCRIBERS_MAX 128u /* connections that get each message */
#define STREAM_FETCHERS_MAX    64u  /* connections that ask */
#define STREAM_FETCH_IDLE_MS                                                                       \
    180000u /* when all are taken, the one idle longest is closed, after this */
#define STREAM_BACKLOG_MESSAGES_MAX 4096u    /* that wait for one subscriber; more are lost to it */
#define STREAM_BACKLOG_BYTES_MAX    MIB(4)   /* the same; above any one message */
#define STREAM_MEMORY_BYTES_MAX     MIB(256) /* of all backlogs; of all unread replies */
#define STREAM_SEND_TIMEOUT_MS                                                                     \
    30000 /* a subscriber that takes nothing for so long is disconnected */

static_assert(STREAM_SUBSCRIBERS_MAX + STREAM_FETCHERS_MAX <= SERVER_FILES_KEPT / 2,
              "the change stream leaves descriptors for the log");
static_assert(STREAM_BACKLOG_BYTES_MAX >= 8 * WAL_RECORD_BYTES_MAX, "a record fits as JSON");

#endif
