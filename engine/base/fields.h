/* fields.h - which fields a definition sets: the bits of SkuRule.fields and ItemDef.fields on the
 * wire. A definition never changes a field that it does not set. */
#ifndef BASE_FIELDS_H
#define BASE_FIELDS_H

enum sku_fields {
    SKU_FIELD_LABEL = 1,
    SKU_FIELD_LIMIT_PER_BUYER = 2,
    SKU_FIELD_OPENS_AT = 4,
    SKU_FIELD_CLOSES_AT = 8,
    SKU_FIELD_PAUSED = 16,
    SKU_FIELD_HOLD = 32,
    SKU_FIELD_HOLD_MAX = 64,
    SKU_FIELDS_ALL = 127,
};

enum item_fields {
    ITEM_FIELD_SAFETY = 1,
    ITEM_FIELD_PRESALE_CAP = 2,
    ITEM_FIELD_HOT = 4,
    ITEM_FIELDS_ALL = 7,
};

#endif
