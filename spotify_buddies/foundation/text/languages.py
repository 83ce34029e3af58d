"""Spellings, in many languages, of the words that name a recording."""

from __future__ import annotations

# Every line: the one form that a word has in keys, then its spellings, folded (foundation.text.folding). Spellings of
# several words are divided by commas.
_SPELLINGS = """
live: live ライブ ライヴ 라이브 现场 現場 演唱会 演唱會 концерт концертная вживую живьем ζωντανα uzivo nazivo
    zive livena canli konser livemitschnitt liveaufnahme directo directe בהופעה حفلة लाइव ไลฟ์ แสดงสด koncert
    konsert elo eloben livetaltiointi gyvai dzivaja לייב מופע لايف наживо zuzenean koncertfelvetel liveversion
remix: remix rmx remixed remixado remixada remezcla remiks remixi ремикс リミックス 리믹스 混音 ريمكس ریمیکس
    रीमिक्स รีมิกซ์ রিমিক্স ரீமிக்ஸ்
mix: mix микс ミックス 믹스
dub: dub dubbed
acoustic: acoustic acustico acustica acustic acoustique akustik akustisch akustisk akustinen akoestisch
    akustyczna akustycznie akustyczny akusticka akusticky акустика акустическая アコースティック 어쿠스틱 原声 原聲
    不插电 不插電 acoustics ακουστικο ακουστικη
instrumental: instrumental instrumentale instrumentaal instrumentell instrumentalni instrumentalny strumentale
    instrumentalna инструментал инструментальная インストゥルメンタル インスト 伴奏 enstrumantal 연주곡 inst
karaoke: karaoke カラオケ 노래방 караоке playback минус минусовка
demo: demo demos maqueta maquette демо デモ 데모 小样
acapella: acapella acappella acapela акапелла アカペラ 아카펠라
cover: cover covers covered кавер カバー カヴァー 커버 翻唱
tribute: tribute tributo hommage homenaje homenagem трибьют
rerecorded: rerecorded rerecording rerecord regrabado regrabada regravacao regravado reenregistre reenregistree
    neuaufnahme neueinspielung перезапись 再録 再録音 재녹음 重录 重錄 reregistrato reregistrata
unplugged: unplugged desenchufado desenchufada анплагд アンプラグド 언플러그드
spedup: spedup acelerado acelerada
slowed: slowed ralentizado
extended: extended extendida extendido estesa prolongee langfassung maxi
session: session sessions sesion sesiones sessao sessoes セッション
spanish: spanish espanol espanola spanisch espagnol espagnole spagnolo castellano
english: english ingles inglesa englisch anglais anglaise inglese английская 英語 英语 영어
french: french francais francaise frances franzosisch francese
italian: italian italiano italiana italienisch italien
german: german deutsch deutsche aleman allemand tedesco
portuguese: portuguese portugues portuguesa
japanese: japanese 日本語 japones japonais
korean: korean 한국어 韓国語 coreano
orchestral: orchestral orquestal orchester
rework: rework reworked
reedit: reedit reedited
alternate: alternate alternative alternativa alternativo
"""
_PHRASES = """
live: en vivo, ao vivo, al vivo, dal vivo, in vivo, en directo, in directo, in diretta, en direct, en public,
    in concert, en concierto, en concert, em concerto, in concerto, im konzert, na zywo, na zivo, i konsert,
    canli performans, canli kayit, truc tiep, הופעה חיה, בהופעה חיה, 在现场, en directe, in konzert, auf der buhne,
    اجراي زنده, ζωντανη ηχογραφηση,
acapella: a cappella, a capella, a capela,
rerecorded: re recorded, re recording, re record, neu aufgenommen,
spedup: sped up, speed up, speeded up, speedup,
slowed: slowed down,
remix: re mix, re mixed,
reedit: re edit, re edited,
mashup: mash up,
rework: re work, re worked,
7in: 7 inch,
12in: 12 inch,
45rpm: 45 rpm,
45rpm version: 45 version,
radio: uk radio, us radio, german radio, international radio,
nonalbum: non album,
bside: b side,
bonustrack: faixa bonus, pista adicional, titre bonus, bonus titel,
extended: long version, version larga, version longue, version extendida, versao longa,
"""


def _entries(table: str, divider: str | None) -> dict[str, str]:
    lines = table.strip().replace("\n    ", " ").split("\n")
    named = (line.split(": ", 1) for line in lines)
    return {word.strip(): name for name, words in named for word in words.split(divider) if word.strip()}


SYNONYMS = _entries(_SPELLINGS, None)
# Read as one word, with spaces around.
PHRASES = _entries(_PHRASES, ",")
