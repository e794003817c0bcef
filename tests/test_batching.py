import torch

from captum_gag.batching import examples_per_pass, out_of_memory, smaller_passes


def test_small_images_go_in_larger_numbers_and_large_ones_in_smaller():
    threads = torch.get_num_threads()
    sizes = [examples_per_pass(torch.empty(1, 3, side, side), 4, 32) for side in (32, 224, 448)]
    assert sizes == [256 if 4 * threads * 49 > 256 else 4 * threads * 49, 4 * threads, threads]
    assert examples_per_pass(torch.empty(1, 3, 9000, 9000), 4, 32) == 1
    assert examples_per_pass(torch.empty(1, 3, 224, 224, device="meta"), 4, 32) == 32


def test_a_share_holds_inside_its_context_only():
    images = torch.empty(1, 3, 8, 8)
    whole = examples_per_pass(images, 4, 32)
    with smaller_passes(0.5):
        assert examples_per_pass(images, 4, 32) == whole // 2
    with smaller_passes(1e-9):
        assert examples_per_pass(images, 4, 32) == 1
    assert examples_per_pass(images, 4, 32) == whole


def test_what_lack_of_memory_looks_like():
    assert out_of_memory(torch.cuda.OutOfMemoryError("CUDA out of memory."))
    assert out_of_memory(MemoryError())
    assert out_of_memory(RuntimeError("[enforce fail] DefaultCPUAllocator: can't allocate memory: you tried ..."))
    assert out_of_memory(RuntimeError("MPS backend out of memory (MPS allocated: 8 GB)"))
    assert not out_of_memory(RuntimeError("mat1 and mat2 shapes cannot be multiplied"))
