/* suggest.c - see suggest.h.
 *
 * Source: the optimal string alignment distance (Damerau 1964), three rows of its table. */
#include "base/suggest.h"

#include <stdbool.h>
#include <stdio.h>
#include <string.h>

#define FAR UINT32_MAX

/* The letters of a word. A byte that begins no letter counts as one. 0: too long, or empty. */
static unsigned letters_of(const char *word, uint32_t letters[SUGGEST_WORD_BYTES])
{
    unsigned count = 0;
    size_t len = strlen(word);
    for (size_t i = 0; i < len && len < SUGGEST_WORD_BYTES; count++) {
        unsigned char c = (unsigned char)word[i++];
        uint32_t letter = c >= 'A' && c <= 'Z' ? c | 0x20u : c;
        while (c >= 0xC0 && ((unsigned char)word[i] & 0xC0) == 0x80) {
            letter = letter << 6 | ((unsigned char)word[i++] & 0x3Fu);
        }
        letters[count] = letter;
    }
    return count;
}

static unsigned least_of(unsigned a, unsigned b, unsigned c)
{
    unsigned least = a < b ? a : b;
    return least < c ? least : c;
}

static unsigned distance(const uint32_t *a, unsigned a_count, const uint32_t *b, unsigned b_count)
{
    unsigned rows[3][SUGGEST_WORD_BYTES + 1];
    for (unsigned j = 0; j <= b_count; j++) {
        rows[0][j] = j;
    }
    for (unsigned i = 1; i <= a_count; i++) {
        unsigned *row = rows[i % 3];
        const unsigned *above = rows[(i + 2) % 3];
        const unsigned *second = rows[(i + 1) % 3];
        row[0] = i;
        for (unsigned j = 1; j <= b_count; j++) {
            row[j] = least_of(above[j] + 1, row[j - 1] + 1, above[j - 1] + (a[i - 1] != b[j - 1]));
            bool swapped = i > 1 && j > 1 && a[i - 1] == b[j - 2] && a[i - 2] == b[j - 1];
            if (swapped && second[j - 2] + 1 < row[j]) {
                row[j] = second[j - 2] + 1;
            }
        }
    }
    return rows[a_count % 3][b_count];
}

/* FAR: not alike. A third of the letters may be wrong; a beginning of two letters stands for all.
 */
static unsigned mistakes_in(const char *wanted, const char *word)
{
    uint32_t a[SUGGEST_WORD_BYTES];
    uint32_t b[SUGGEST_WORD_BYTES];
    unsigned a_count = letters_of(wanted, a);
    unsigned b_count = letters_of(word, b);
    if (a_count == 0 || b_count == 0) {
        return FAR;
    }
    unsigned longer = a_count > b_count ? a_count : b_count;
    unsigned bound = longer < 3 ? 0 : longer < 6 ? 1 : longer / 3;
    unsigned found = distance(a, a_count, b, b_count);
    if (found > bound && a_count >= 2 && a_count < b_count &&
        memcmp(a, b, a_count * sizeof *a) == 0) {
        return bound + 1; /* more than any word that is alike */
    }
    return found <= bound ? found : FAR;
}

void suggest_begin(struct suggest *suggest, const char *wanted)
{
    *suggest = (struct suggest){.wanted = wanted};
}

void suggest_offer(struct suggest *suggest, const char *word)
{
    unsigned mistakes = mistakes_in(suggest->wanted, word);
    if (mistakes == FAR || strcmp(suggest->wanted, word) == 0) {
        return;
    }
    unsigned at = suggest->count;
    while (at > 0 && suggest->mistakes[at - 1] > mistakes) {
        at--;
    }
    if (at == SUGGEST_WORDS) {
        return;
    }
    unsigned moved = suggest->count < SUGGEST_WORDS ? suggest->count : SUGGEST_WORDS - 1;
    for (unsigned i = moved; i > at; i--) {
        suggest->mistakes[i] = suggest->mistakes[i - 1];
        memcpy(suggest->words[i], suggest->words[i - 1], SUGGEST_WORD_BYTES);
    }
    suggest->mistakes[at] = mistakes;
    snprintf(suggest->words[at], SUGGEST_WORD_BYTES, "%s", word);
    suggest->count = moved + 1;
}

const char *suggest_text(const struct suggest *suggest, char *text)
{
    size_t used = 0;
    text[0] = '\0';
    for (unsigned i = 0; i < suggest->count; i++) {
        const char *before = i == 0 ? " (did you mean " : i + 1 < suggest->count ? ", " : " or ";
        used += (size_t)snprintf(text + used, SUGGEST_TEXT_BYTES - used, "%s'%s'%s", before,
                                 suggest->words[i], i + 1 == suggest->count ? "?)" : "");
    }
    return text;
}
