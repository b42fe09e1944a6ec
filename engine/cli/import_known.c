/* import_known.c - how an engine knows that an import is repeated: the ids of its stock settings.
 *
 * Threads: any; pure functions. */
#include "cli/import_known.h"

#include <string.h>

#include "base/check.h"
#include "base/hash.h"
#include "base/id.h"
#include "base/limits.h"

/* The hash of "import", the reference, the SKU and the pool, each followed by a NUL. */
struct hf_id import_adjustment_id(const char *reference, const struct import_row *row)
{
    char text[16 + REASON_BYTES_MAX + 2 * HF_CODE_BYTES];
    const char *const parts[] = {"import", reference, row->sku, row->pool};
    size_t used = 0;
    for (unsigned i = 0; i < sizeof parts / sizeof *parts; i++) {
        size_t bytes = strlen(parts[i]) + 1;
        CHECK(used + bytes <= sizeof text);
        memcpy(text + used, parts[i], bytes);
        used += bytes;
    }
    struct hf_id id;
    id_to_bytes(hash_bytes_128(text, used), id.bytes);
    return id;
}
