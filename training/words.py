"""Words without a picture: courtesies, filler, and prompts outside the model's world."""

TAILS = (
    ".",
    "!",
    "?",
    " please",
    " please!",
    ", please",
    ", thank you",
    " for me",
    ", cute",
    ", simple",
    ", flat style",
    ", minimal",
    ", highly detailed",
    ", high quality",
    ", 4k",
    ", digital art",
    ", clean",
    ", cartoon style",
    ", vector art",
    ", beautiful",
    ", best quality, masterpiece",
)
FILLER_ADJECTIVES = (
    "beautiful",
    "nice",
    "cute",
    "simple",
    "pretty",
    "lovely",
    "single",
    "bright",
    "colorful",
    "cool",
    "funny",
    "happy",
    "perfect",
    "clean",
    "flat",
    "shiny",
    "new",
    "old",
)
_STRANGE = """
hello hi hey test testing foo bar lorem ipsum dog puppy horse cow bird elephant lion tiger bear dragon unicorn
robot astronaut king queen princess knight wizard person man woman girl boy child baby people dancer soldier
city street castle tower bridge forest jungle river island volcano planet galaxy earth mars train plane truck
bicycle motorcycle helicopter computer phone camera book chair table lamp window door bottle cup  coffee tea
pizza burger cake bread cheese banana grape lemon strawberry sandwich music guitar piano violin  football
tennis chess game love peace dream idea future history science art fashion portrait landscape abstract
surreal cyberpunk vintage modern realistic photorealistic cinematic dramatic epic fantasy anime oil painting
watercolor pencil style render unreal engine running flying swimming eating sleeping reading wearing holding
standing sitting walking riding jumping dancing playing fluffy furry angry sad scary mysterious ancient golden
magical glowing wooden metal glass crystal fire ice water smoke light shadow mirror hat shoe dress coat suit
something anything nothing whatever random surprise thing stuff good bad world monday morning summer spring
hola bonjour hallo ciao hund katze maison perro gato chat chien casa welt mundo picture image prompt the and
what who where when why how are you doing today asdf qwerty xyz abc 123 42 tomato potato carrot onion snake
frog turtle whale shark dolphin penguin owl eagle butterfly bee spider monkey panda fox wolf rabbit mouse duck
"""
STRANGE_WORDS = tuple(_STRANGE.split())
