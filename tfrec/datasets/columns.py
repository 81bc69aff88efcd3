"""Turns columns as they are written into columns as they are meant, and tells which values could not be.

A function that returns `Converted` takes an Arrow column of any type and returns the converted column and the mask
(bool [num_rows]) of the values that are not what they should be. An attribute is missing there (null, "" in text, zeros
in vectors); what other columns hold there means nothing.
"""

import numpy as np
import pandas as pd
import pyarrow as pa
import pyarrow.compute as pc

_NUMBER = r"^[+-]?([0-9]+\.?[0-9]*|\.[0-9]+)([eE][+-]?[0-9]+)?$"
_MISSING = pa.array(["", "na", "n/a", "nan", "null", "none"])

# Control characters (line breaks and tabs among them) and Unicode's own line and paragraph separators.
_BREAKS_LINES = r"[\p{Cc}\p{Zl}\p{Zp}]"
# A float of so many bits holds every whole number below this one: beyond, different ids have become the same.
_EXACT_BELOW = {16: 2**11, 32: 2**24, 64: 2**53}

SECONDS_OF_A_DAY = 86_400

Converted = tuple[pa.Array, np.ndarray]


def to_ids(column: pa.ChunkedArray) -> Converted:
    """Ids: a dictionary array of strings. Bad: missing or blank, lists and objects, floats that are not finite or too
    large to be told from their neighbours, and what holds a control character or line break."""
    kind = column.type
    if pa.types.is_dictionary(kind) and not _is_text(kind):
        column = column.cast(kind.value_type)
    if pa.types.is_floating(column.type):
        column = _floats_as_ids(column)
    try:
        if pa.types.is_nested(column.type):
            raise pa.ArrowNotImplementedError(f"{column.type} has no text")
        array = to_dictionary(column)
    except (pa.ArrowInvalid, pa.ArrowNotImplementedError):
        array = to_dictionary(pa.chunked_array([pa.nulls(len(column), pa.string())]))
    ids = array.dictionary
    is_bad = pc.or_(pc.equal(pc.utf8_trim_whitespace(ids), ""), pc.match_substring_regex(ids, _BREAKS_LINES))
    is_bad = np.append(is_bad.fill_null(True).to_numpy(zero_copy_only=False), True)  # the last: for what is null
    if not array.null_count and not is_bad[:-1].any():
        return array, np.zeros(len(array), bool)
    codes = array.indices.fill_null(len(ids)).to_numpy(zero_copy_only=False)
    return array, is_bad[codes]


def _floats_as_ids(column: pa.ChunkedArray) -> pa.ChunkedArray:
    """Whole numbers, which some tool made floats because one was missing, as such; null for what is no id."""
    numbers = column.cast(pa.float64())
    is_id = pc.less(pc.abs(numbers), float(_EXACT_BELOW[column.type.bit_width]))
    numbers = pc.if_else(is_id, numbers, None)
    is_whole = pc.equal(pc.floor(numbers), numbers)
    if pc.all(is_whole, min_count=0).as_py():
        return numbers.cast(pa.int64())
    whole = pc.if_else(is_whole, numbers, None).cast(pa.int64()).cast(pa.string())
    return pc.coalesce(whole, pc.if_else(is_id, column.cast(pa.string()), None))


def to_text(column: pa.ChunkedArray) -> Converted:
    """Text: strings without nulls, lists joined by ", ". Bad: what has no text, such as JSON objects."""
    kind = column.type
    try:
        if pa.types.is_list(kind) or pa.types.is_large_list(kind):
            column = pc.binary_join(column.cast(pa.list_(pa.string())), ", ")
        elif pa.types.is_nested(kind):
            raise pa.ArrowNotImplementedError(f"{kind} has no text")
        return _plain(column).fill_null(""), np.zeros(len(column), bool)
    except (pa.ArrowInvalid, pa.ArrowNotImplementedError):
        return pa.nulls(len(column), pa.string()).fill_null(""), np.ones(len(column), bool)


def to_categories(column: pa.ChunkedArray) -> Converted:
    """Categories: strings, null where nothing or a blank is written. Bad: as in `to_text`."""
    text, bad = to_text(column)
    return pc.if_else(pc.equal(pc.utf8_trim_whitespace(text), ""), None, text), bad


def to_numbers(column: pa.ChunkedArray, decimal: str = ".") -> Converted:
    """Numbers: float32, null where none is written. Bad: no number, infinite, or beyond float32. In text, `decimal` is
    the decimal mark, and nothing else may stand between digits."""
    if decimal == "," and _is_text(column.type):
        no_number = pc.replace_substring(_plain(column), ".", "\ufffd")
        column = pc.replace_substring(no_number, ",", ".")
    numbers, bad = _parse_numbers(column)
    numbers = numbers.cast(pa.float64(), safe=False)
    with np.errstate(over="ignore"):
        values = numbers.to_numpy(zero_copy_only=False).astype(np.float32)
    is_infinite = np.isinf(values)
    values[is_infinite] = np.nan
    return pa.array(values, from_pandas=True), bad | is_infinite


def to_timestamps(column: pa.ChunkedArray) -> Converted:
    """Times: int64, or float64 where one has a fraction. Numbers stay as they are, dates and times become seconds
    since 1970 (UTC where no zone is given). Bad: missing, or neither a finite number nor an ISO 8601 date or time."""
    if pa.types.is_date(column.type) or pa.types.is_timestamp(column.type):
        micros = column.cast(pa.timestamp("us", getattr(column.type, "tz", None)), safe=False).cast(pa.int64())
        return _seconds(_combined(micros))
    numbers, bad = _parse_numbers(column)
    if pa.types.is_integer(numbers.type) and not numbers.null_count:
        return numbers, bad
    missing = _mask(numbers.is_null())
    if _is_text(column.type) and bad.sum() > (~missing).sum():
        micros = pa.chunked_array([_parse_times(chunk) for chunk in _plain(column).chunks], pa.int64())
        return _seconds(micros.combine_chunks())
    if pa.types.is_floating(numbers.type):
        bad = bad | ~np.isfinite(numbers.to_numpy(zero_copy_only=False))
    return numbers, bad | missing


def are_dates(column: pa.ChunkedArray) -> bool:
    """Whether a column holds dates or times, and no number."""
    if pa.types.is_date(column.type) or pa.types.is_timestamp(column.type):
        return True
    if not _is_text(column.type) or not _mask(_parse_numbers(column)[0].is_null()).all():
        return False
    return bool((~to_timestamps(column)[1]).any())


def to_days(column: pa.ChunkedArray) -> Converted:
    """Dates and times as days since 1970: float32, which holds a date exactly and a time of day to three minutes; null
    where none is written. Bad: no ISO 8601 date or time."""
    seconds, bad = to_timestamps(column)
    days = (seconds.to_numpy(zero_copy_only=False) / SECONDS_OF_A_DAY).astype(np.float32)
    days[bad] = np.nan
    is_missing = column.is_null()
    if _is_text(column.type):
        is_missing = pc.or_kleene(
            is_missing, pc.is_in(pc.utf8_lower(pc.utf8_trim_whitespace(_plain(column))), _MISSING)
        )
    return pa.array(days, from_pandas=True), bad & ~_mask(is_missing.fill_null(True))


def to_vectors(column: pa.ChunkedArray) -> Converted:
    """Vectors: lists of float32, all of the length that most have; zeros where nothing is written. Text is divided at
    blanks, commas and brackets. Bad: another length, or an entry that is no finite number."""
    kind = column.type
    if _is_text(kind):
        text = pc.utf8_trim_whitespace(pc.replace_substring_regex(_plain(column), r"[\[\],;\s]+", " "))
        column = pc.split_pattern(pc.if_else(pc.equal(text, ""), None, text), " ")
    elif pa.types.is_list(kind) or pa.types.is_large_list(kind) or pa.types.is_fixed_size_list(kind):
        column = column.cast(pa.large_list(kind.value_type))
    else:
        return column, np.ones(len(column), bool)
    lengths = pc.list_value_length(column).fill_null(0).to_numpy().astype(np.int64)
    missing = lengths == 0
    entries, bad_entries = to_numbers(pc.list_flatten(column))
    bad_entries |= _mask(entries.is_null())
    size = int(np.bincount(lengths[~missing]).argmax()) if not missing.all() else 0
    bad = ~missing & (lengths != size)
    bad |= np.bincount(np.repeat(np.arange(len(lengths)), lengths), bad_entries, minlength=len(lengths)) > 0
    values = np.zeros((len(lengths), size), np.float32)
    fits = lengths == size if size else np.zeros(len(lengths), bool)
    values[fits] = entries.to_numpy(zero_copy_only=False)[np.repeat(fits, lengths)].reshape(-1, size)
    values[bad] = 0
    offsets = np.arange(len(lengths) + 1) * size
    return pa.LargeListArray.from_arrays(offsets, values.reshape(-1)), bad


def to_dictionary(column: pa.ChunkedArray) -> pa.DictionaryArray:
    """The column as codes (int32) into its distinct values, which are strings in order of appearance."""
    if pa.types.is_integer(column.type):
        codes = _combined(column.dictionary_encode().unify_dictionaries())
        if isinstance(codes, pa.DictionaryArray):
            return pa.DictionaryArray.from_arrays(codes.indices, codes.dictionary.cast(pa.string()))
    if not pa.types.is_dictionary(column.type):
        column = column.cast(pa.string()).dictionary_encode()
    elif column.type != pa.dictionary(pa.int32(), pa.string()):
        column = column.cast(column.type.value_type).cast(pa.string()).dictionary_encode()
    column = column.unify_dictionaries()
    array = _combined(column)
    if isinstance(array, pa.ChunkedArray):  # without rows
        return pa.DictionaryArray.from_arrays(pa.array([], pa.int32()), pa.array([], pa.string()))
    return array


def _parse_numbers(column: pa.ChunkedArray) -> Converted:
    """int64 where all are whole, else float64; null where nothing, or nothing that is a number, is written."""
    kind = column.type
    if pa.types.is_boolean(kind):
        column = column.cast(pa.int8())
    elif not _is_text(kind) and not pa.types.is_null(kind):
        if not (pa.types.is_integer(kind) or pa.types.is_floating(kind) or pa.types.is_decimal(kind)):
            return pa.nulls(len(column), pa.float64()), np.ones(len(column), bool)
    else:
        column = _plain(column)
    for target in (pa.int64(), pa.float64()):
        try:
            return _combined(column.cast(target)), np.zeros(len(column), bool)
        except pa.ArrowInvalid:
            continue
    text = pc.utf8_trim_whitespace(column)
    is_missing = pc.is_in(pc.utf8_lower(text), _MISSING)
    is_number = pc.match_substring_regex(text, _NUMBER)
    bad = ~_mask(pc.or_(is_missing, is_number).fill_null(True))
    text = pc.utf8_ltrim(pc.if_else(is_number, text, None), "+")
    try:
        return text.cast(pa.int64()).combine_chunks(), bad
    except pa.ArrowInvalid:
        return text.cast(pa.float64()).combine_chunks(), bad


def _combined(column: pa.ChunkedArray) -> pa.Array:
    """The column in one piece; what is in one already is not copied."""
    return column.chunk(0) if column.num_chunks == 1 else column.combine_chunks()


def _parse_times(chunk: pa.Array) -> pa.Array:
    times = pd.to_datetime(chunk.to_pandas(), format="ISO8601", utc=True, errors="coerce")
    return pa.array(times, pa.timestamp("us", "UTC")).cast(pa.int64())


def _seconds(micros: pa.Array) -> Converted:
    bad = _mask(micros.is_null()) if micros.null_count else np.zeros(len(micros), bool)
    values = micros.fill_null(0).to_numpy(zero_copy_only=False)
    whole = values // 1_000_000
    is_exact = (whole * 1_000_000 == values).all()
    return pa.array(whole if is_exact else values / 1e6), bad


def _plain(column: pa.ChunkedArray) -> pa.ChunkedArray:
    return column.cast(column.type.value_type if pa.types.is_dictionary(column.type) else column.type).cast(pa.string())


def _is_text(kind: pa.DataType) -> bool:
    kind = kind.value_type if pa.types.is_dictionary(kind) else kind
    return pa.types.is_string(kind) or pa.types.is_large_string(kind) or pa.types.is_string_view(kind)


def _mask(array: pa.Array | pa.ChunkedArray) -> np.ndarray:
    return array.to_numpy() if isinstance(array, pa.ChunkedArray) else array.to_numpy(zero_copy_only=False)
