// Columns: pixels of values that are computed once for each distinct local coalition (src/plan/sharing). The buffer
// `tables` leads from a column to the columns that it reads; who imports this declares it.
//
//   origins of a value   [columns, 2]  the pixel of each column, and a row of the block that it stands for
//   pixels of a value    [pixels, 2]   the pixel's first column, and where the numbers of its set begin
//   numbers of a set     [rows]        16 bits each: which of the pixel's columns a row of the block has
//
// Origins and pixels are found by an offset in words, numbers by one in halves of words.

struct Origin {
    pixel: u32,
    row: u32,
}

fn origin_of(origins: u32, column: u32) -> Origin {
    let at = origins + 2u * column;
    return Origin(tables[at], tables[at + 1u]);
}

// The column of a row of the block at a pixel of a value.
fn column_at_pixel(pixels: u32, pixel: u32, row: u32) -> u32 {
    let at = pixels + 2u * pixel;
    let number = tables[at + 1u] + row;
    return tables[at] + ((tables[number >> 1u] >> ((number & 1u) * 16u)) & 0xffffu);
}
