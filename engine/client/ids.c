/* ids.c - ids of orders and adjustments: made from a text, or random; written as a UUID.
 *
 * Threads: any. */
#include <string.h>
#include <sys/random.h>

#include <holdfast/client.h>

#include "base/check.h"
#include "base/id.h"

struct hf_id hf_id_from_text(const char *text)
{
    struct hf_id id;
    id_to_bytes(id_from_text(text, strlen(text)), id.bytes);
    return id;
}

struct hf_id hf_id_random(void)
{
    struct hf_id id;
    size_t done = 0;
    while (done < sizeof id.bytes) {
        ssize_t got = getrandom(id.bytes + done, sizeof id.bytes - done, 0);
        if (got > 0) {
            done += (size_t)got;
        }
    }
    CHECK(done == sizeof id.bytes);
    id.bytes[6] = (uint8_t)((id.bytes[6] & 0x0F) | 0x40); /* version 4 */
    id.bytes[8] = (uint8_t)((id.bytes[8] & 0x3F) | 0x80); /* the RFC's variant */
    return id;
}

void hf_id_to_text(struct hf_id id, char text[37])
{
    id_to_text(id_from_bytes(id.bytes), text);
}
