/* test_array.c - views and shapes. */
#include "bs_test.h"

static float numbers[1000];

static bs_array packed(int ndim, int64_t d0, int64_t d1, int64_t d2)
{
    return bs_array_packed(numbers, BS_F32, ndim, (const int64_t[]){d0, d1, d2});
}

static int64_t offset(const bs_array *a)
{
    return (const float *)a->data - numbers;
}

/* Columns start .. start+n of a matrix, as one of several layers in a hub has them. */
static bs_array columns_of(const bs_array *matrix, int64_t start, int64_t n)
{
    bs_array out = *matrix;
    out.data = (char *)out.data + (size_t)start * bs_dtype_size(out.dtype);
    out.dim[1] = n;
    return out;
}

BS_TEST(array_views)
{
    const bs_array a = packed(3, 4, 5, 6);
    CHECK(a.lead == 0 && bs_rows(&a) == 1 && bs_cols(&a) == 120 && bs_is_packed(&a));
    const bs_array at = bs_at(&a, 2);
    CHECK(at.ndim == 2 && offset(&at) == 60 && at.dim[0] == 5 && at.dim[1] == 6);
    const bs_array slice = bs_slice(&a, 1, 2);
    CHECK(slice.ndim == 3 && offset(&slice) == 30 && slice.dim[0] == 2 && bs_count(&slice) == 60);
    const bs_array matrix = bs_matrix(&a, 2), columns = columns_of(&matrix, 2, 3);
    CHECK(matrix.dim[0] == 20 && matrix.dim[1] == 6 && matrix.pitch == 6);
    CHECK(offset(&columns) == 2 && columns.dim[1] == 3 && columns.pitch == 6 &&
          !bs_is_packed(&columns));
    const bs_array row = bs_at(&columns, 3);
    CHECK(offset(&row) == 20 && row.ndim == 1 && bs_is_packed(&row));
}

BS_TEST(array_leads)
{
    const bs_array a = packed(3, 4, 5, 6);
    for (int lead = 0; lead <= 3; lead++) {
        const bs_array b = bs_with_lead(&a, lead);
        CHECK(bs_has_lead(&a, lead) && b.lead == lead && bs_count(&b) == 120 &&
              b.pitch == bs_cols(&b));
    }
    bs_array hub = bs_with_lead(&a, 2);
    hub.pitch = 8;
    CHECK(bs_has_lead(&hub, 2) && !bs_has_lead(&hub, 1) && !bs_has_lead(&hub, 3) &&
          !bs_has_lead(&hub, 4));
    hub.dim[1] = 1;
    CHECK(bs_has_lead(&hub, 1));
}

BS_TEST(array_overlaps)
{
    const bs_array a = packed(2, 10, 10, 0), matrix = bs_matrix(&a, 1);
    const bs_array left = columns_of(&matrix, 0, 5), right = columns_of(&matrix, 5, 5),
                   middle = columns_of(&matrix, 4, 2);
    const bs_array top = bs_slice(&a, 0, 5), bottom = bs_slice(&a, 5, 5);
    CHECK(!bs_overlaps(&left, &right) && !bs_overlaps(&right, &left));
    CHECK(bs_overlaps(&left, &middle) && bs_overlaps(&middle, &right));
    CHECK(!bs_overlaps(&top, &bottom) && bs_overlaps(&top, &a) && bs_overlaps(&a, &bottom));
    CHECK(bs_is_same_view(&a, &a) && !bs_is_same_view(&a, &left) &&
          !bs_is_same_view(&left, &right));
}

BS_TEST(array_text)
{
    char text[64], small[6];
    bs_dims_text(text, sizeof text, 3, (const int64_t[]){2, 3, 4});
    CHECK_TEXT(text, "(2, 3, 4)");
    bs_dims_text(text, sizeof text, 1, (const int64_t[]){7});
    CHECK_TEXT(text, "(7,)");
    bs_dims_text(text, sizeof text, 0, NULL);
    CHECK_TEXT(text, "()");
    bs_dims_text(small, sizeof small, 3, (const int64_t[]){100, 200, 300});
    CHECK(strlen(small) < sizeof small);
}

BS_TEST(shape_templates)
{
    const bs_shape image = {.scale = BS_TIME, .ndim = 3, .dim = {28, 29, 3}},
                   row = bs_time_shape(10), w = bs_fixed_2d(3, 4);
    char text[64];
    bs_shape_text(text, sizeof text, &image);
    CHECK_TEXT(text, "('T', 'B', 28, 29, 3)");
    CHECK(bs_shape_size(&image) == 28 * 29 * 3);
    CHECK(bs_shape_matches(&image, "T B ...") && bs_shape_matches(&image, "T B H W C") &&
          bs_shape_matches(&image, "..."));
    CHECK(!bs_shape_matches(&image, "T B F") && !bs_shape_matches(&image, "B H W C"));
    CHECK(bs_shape_matches(&row, "T B F") && bs_shape_matches(&row, "T B 10") &&
          !bs_shape_matches(&row, "T B 1"));
    CHECK(bs_shape_matches(&w, "3 4") && !bs_shape_matches(&w, "3 5") &&
          !bs_shape_matches(&w, "T B ..."));
    CHECK(bs_shape_equal(&row, &row) && !bs_shape_equal(&row, &image));
}
