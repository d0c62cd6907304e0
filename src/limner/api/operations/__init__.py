"""Operations with routes of their own: outpaint, region edit, upscale and the others."""
