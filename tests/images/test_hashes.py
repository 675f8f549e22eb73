from __future__ import annotations

from biomedica_ray.images.hashes import perceptual_hash
from tests.synthetic import picture


def test_a_smaller_copy_is_near_and_another_picture_is_not() -> None:
    image = picture(1, (400, 300))
    assert (perceptual_hash(image) ^ perceptual_hash(image.resize((200, 150)))).bit_count() <= 4
    assert (perceptual_hash(image) ^ perceptual_hash(picture(2, (400, 300)))).bit_count() > 8
