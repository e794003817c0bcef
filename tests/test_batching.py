"""Batch sizes, and what becomes of them when memory runs out."""

import pytest
import torch

from captum_gag.batching import examples_per_batch, examples_per_chunk, out_of_memory, smaller_batches, with_less_memory


def test_small_images_go_in_larger_numbers_and_large_ones_in_smaller():
    threads = torch.get_num_threads()
    sizes = [examples_per_batch(torch.empty(1, 3, side, side), 4, 32) for side in (32, 224, 448)]
    assert sizes == [max(96, 48 * threads), 4 * threads, threads]
    assert examples_per_batch(torch.empty(1, 3, 9000, 9000), 4, 32) == 1
    assert [examples_per_batch(torch.empty(1, 3, side, side, device="meta"), 4, 32) for side in (224, 32)] == [32, 256]


def test_small_images_are_scored_many_at_a_time_and_large_ones_alone():
    sizes = {(224, 224): 1, (448, 448): 1, (300, 200): 1, (112, 112): 4, (64, 64): 12, (32, 32): 32, (1, 1): 32}
    assert {size: examples_per_chunk(*size) for size in sizes} == sizes


def test_a_share_is_one_of_the_examples_that_there_are():
    images = torch.empty(1, 3, 8, 8)
    assert examples_per_batch(images, 4, 32, total=10) == 10
    with smaller_batches(0.5):
        assert examples_per_batch(images, 4, 32, total=10) == 5


def test_a_share_holds_inside_its_context_only():
    images = torch.empty(1, 3, 8, 8)
    whole = examples_per_batch(images, 4, 32)
    with smaller_batches(0.5):
        assert examples_per_batch(images, 4, 32) == whole // 2
    with smaller_batches(1e-9):
        assert examples_per_batch(images, 4, 32) == 1
    assert examples_per_batch(images, 4, 32) == whole


def attempts(fits, total=None, error=MemoryError):
    """Compute where only so many examples fit; return the sizes that were tried, and whether it succeeded."""
    sizes = []

    def compute():
        sizes.append(examples_per_batch(torch.empty(1, 3, 8, 8), 4, 32, total))
        if sizes[-1] > fits:
            raise error("too much")
        return "done"

    try:
        return sizes, with_less_memory(compute)
    except error:
        return sizes, "failed"


def test_batches_are_halved_until_they_fit():
    assert attempts(fits=3, total=20) == ([20, 10, 5, 2], "done")
    assert attempts(fits=20, total=20) == ([20], "done")


def test_no_batch_size_is_tried_twice():
    assert attempts(fits=0, total=7) == ([7, 3, 1], "failed")
    sizes, end = attempts(fits=0)
    assert end == "failed"
    assert len(set(sizes)) == len(sizes)
    assert sizes[-1] == 1


def test_other_errors_are_raised_at_once():
    assert attempts(fits=0, total=7, error=KeyError) == ([7], "failed")


def test_where_nobody_asks_for_a_batch_size_nothing_is_repeated():
    calls = []

    def compute():
        calls.append(1)
        raise MemoryError

    with pytest.raises(MemoryError):
        with_less_memory(compute)
    assert len(calls) == 1


def test_what_lack_of_memory_looks_like():
    assert out_of_memory(torch.cuda.OutOfMemoryError("CUDA out of memory."))
    assert out_of_memory(MemoryError())
    assert out_of_memory(RuntimeError("[enforce fail] DefaultCPUAllocator: can't allocate memory: you tried ..."))
    assert out_of_memory(RuntimeError("MPS backend out of memory (MPS allocated: 8 GB)"))
    assert not out_of_memory(RuntimeError("mat1 and mat2 shapes cannot be multiplied"))
