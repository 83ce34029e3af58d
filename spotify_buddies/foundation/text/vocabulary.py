"""What versions of a song are called in titles, in the languages that the catalogues of music stores are written in.

All words are folded (foundation.text.folding): lower case, without accents.
"""

from __future__ import annotations

from spotify_buddies.foundation.text.languages import SYNONYMS


def _set(text: str) -> frozenset[str]:
    return frozenset(text.split())


# Written for a remaster, whatever follows the stem: remastered, remasterizado, remasterisé, rimasterizzato, remastrad.
REMASTER = (
    r"(?:ge|z)?(?:re|ri)[- ]?masz?t(?:er|r)[^\W\d_]*\.?|\bremast\b\.?|р[еэ]масте?р[^\W\d_]*|ремастир[^\W\d_]*"
    r"|(?:デジタル|最新)?リマスタ[ーリング]*版?|리마스터[^\W\d_]*|(?:数码|數碼|数位|數位|高清)?(?:重[制製]|修复|修復)版?"
    r"|(?:ریمستر|ريماستر|רימסטר|רימאסטר|ρεμαστερ)[^\W\d_]*|รีมาสเตอร์|रीमास्टर[^\W\d_]*|রিমাস্টার[^\W\d_]*"
)
VERSION = _set("""
    version versions ver vers versao versio versie versiyon versiyonu versija versione versioon wersja verzia
    verze verzija versiune versiunea verzio utgave utgava utgavan udgave fassung bersyon версия версии εκδοχη
    バージョン ヴァージョン 버전 版 版本 เวอร์ชัน เวอร์ชั่น संस्करण نسخة גרסה גרסת
""")
ARTICLES = _set("""
    the a an la el le les los las lo il de del du di da do der die das den des of et y and
""")

# A segment of these words alone names no other recording: it tells where the song was issued, that it was cut for the
# radio or a single, mixed to one channel or two, or made fit for children. One word is of ISSUE_MARKS, or two a pair.
ISSUE_MARKS = VERSION | _set("""
    album albumi albumu albumowa lp ep single original originale originala originell originalni oryginalna
    orijinal explicit clean dirty mono stereo edited edit nonalbum bside editado editada singolo sencillo singlowa
    сингл альбом альбомная оригинальная оригинал アルバム シングル オリジナル 앨범 싱글 오리지널 原版 原曲 专辑
    專輯 单曲 單曲 אלבום ألبوم
""")
ISSUE = (
    ISSUE_MARKS
    | ARTICLES
    | _set("""
    main radio studio standard regular official full short 7in 45rpm digital track tema song cancion radiowa uncut
    радио ラジオ 라디오 uncensored censored commercial taglio lied titre chanson non
""")
)
ISSUE_PAIRS = tuple(
    frozenset(pair.split())
    for pair in (
        "radio mix",
        "main mix",
        "7in mix",
        "original mix",
        "single mix",
        "album mix",
        "mono mix",
        "stereo mix",
        "official audio",
        "official video",
        "music video",
        "lyric video",
        "lyrics video",
        "hidden track",
        "digital single",
        "full length",
    )
)
# A segment with one of these and without a marker tells of an edition or a film, whatever else it says.
EDITIONS = _set("""
    bonus bonustrack deluxe soundtrack ost sonora ボーナストラック 보너스 サウンドトラック サントラ 主題歌 主题曲
    主題曲 саундтрек colonna filmmusik
""")
# An edition that only these words describe is one, too; "Kaytranada Edition" is a remix.
EDITION = _set("""
    edition edicion edicao edizione editie ausgabe reissue издание
""")
EDITION_KINDS = (
    ISSUE
    | EDITIONS
    | EDITION
    | _set("""
    special expanded anniversary limited collectors collector legacy super premium extra platinum gold
""")
)
# A title of these alone is told from others by its film.
TITLES_OF_FILMS = _set("""
    theme maintheme maintitle maintitles overture endcredits endtitle endtitles lovetheme suite prologue epilogue
    finale medley opening openingcredits openingtitles score intro outro themesong titletheme themefrom ending
""")
FILM_WORDS = _set("""
    soundtrack motion picture film movie filme filmu series musical ost tv television фильма
""")
FROM_FILM = (
    r"from|(?:love )?theme from|music from|as heard in|featured in|aus(?: dem film)?|du film|tire du film|dal film"
    r"|de la (?:pelicula|serie)|do filme|из|z filmu|映画"
)

LANGUAGES = _set("""
    spanish english french italian german portuguese japanese korean
""")
# A segment that begins or ends with one of these names another recording: all that it says stays in the key.
MARKERS = frozenset(SYNONYMS.values()) | _set("""
    bootleg mashup refix flip vip edit 12in nightcore reverb piano symphonic reprise strings take
    outtake commentary interview
    rehearsal medley remake stripped mixtape mixed reimagined revisited parody sessions
""")
# Those of them that a segment may begin with, and go on with whatever it is ("remix by ..", "demo from ..").
HEADS = _set("""
    live remix acoustic karaoke instrumental demo acapella rerecorded spedup slowed nightcore unplugged cover
    tribute
""")
# Those that may follow a featured name without anything between.
AFTER_A_NAME = HEADS | _set("""
    mix dub bootleg mashup rework reedit refix extended edit
""")
# Those that have a maker: with a featured name before them, it may be the maker's.
MADE = _set("""
    remix mix dub bootleg mashup rework reedit refix edit
""")
# Words around a marker that are not part of its name.
AROUND = VERSION | _set("""
    the and album single lp ep explicit clean official edited bonus track recording recorded запись performance tema
    cancion mono stereo soundtrack
""")
PLACES = _set("""
    a at in on from by of en desde no na em au aux dal dalla dallo del de do da la le el los las im aus dem and y
    et e в из на с
""")

FEATURING = (
    r"(?:feat|feats|ft|featuring|feature|featured|con la participacion(?: especial)? de|con la colaboracion de"
    r"|participacao(?: especial)?(?: de)?|part\.? ?esp\.?(?: de)?|invitad[oa]s?"
    r"|(?:duet|duett|duetto|dueto|duo) (?:with|mit|con|com|avec)|a duo con|en duo avec"
    r"|при участии|при уч\.?|уч\.|фит|фт\.|за участю|피처링|피쳐링|フィーチャリング|ฟีท|फीट|بمشاركة|בהשתתפות|合作"
    r"|z udzialem|goscinnie|gosc\.|m\.m\.v\.|with special guests?|together with|gemeinsam mit|zusammen mit|junto a"
    r"|junto com)"
)
WITH = r"(?:with|w/|f/|con|avec|mit|com|med|met|cu|vs\.?|versus|مع|עם)"
# A segment that begins with "with" and goes on like this is part of the title, or tells of instruments.
NOT_GUESTS_AT_END = _set("""
    beats strings lyrics vocals vocal orchestra intro outro drums accompaniment choir band
""")
NOT_GUESTS = _set("""
    a an my your her his our their me you us him them it love no this that these those all or out every some mi tu
    su ti ella ellos usted amor un una el la los las lo todo banda mariachi tololoche orquesta tambora norteno
    guitarra sabor alma ganas permiso toi moi elle lui vous nous une mon ton son ma ta sa mes tes le les dir mir
    ihm ihr ihnen uns euch dem der den einem einer meinem deinem meiner deiner orchester chor voce voces ela ele o
    os as meu minha seu sua dig mig dej mej deg meg oss jou je mij ons hem haar een de het mijn tine mine
    orchestra strings piano choir lyrics intro vocals vocal drums guitar violin rap reverb
""")
# A subtitle with one of these may tell of another recording, another part of a work, or who played it where.
NOT_IN_SUBTITLES = (
    MARKERS
    | VERSION
    | EDITIONS
    | EDITION
    | FILM_WORDS
    | LANGUAGES
    | TITLES_OF_FILMS
    | frozenset(SYNONYMS)
    | _set("""
    arr arranged arrangement prod produced producer production performed performance vocal vocals vs versus x w duet
    duo ft feat featuring from session studio recorded recording records minor major theme orchestra orchestral
    philharmonic symphony choir quartet ensemble season episode part pt parts vol volume chapter act scene number op
    opus movement mvt interlude skit reloaded redux redo solo club dj instr pista unreleased rare takes cut radio
    single album mono stereo official original audio video lyric lyrics halftime unpeeled hushed chopped screwed trap
    techno jazz salsa bachata balada banda mariachi guitar violin cello flute organ freestyle cypher uncut bonus track
    retouch rerub treatment rendition interpretation revision once twice ii iii iv vi vii viii ix
""")
) - {"take", "strings"}
# A subtitle that begins with one of these may tell where or for whom it was played, and with whom.
NOT_FIRST_IN_SUBTITLES = _set("""
    as at by de del du en for im in para per por von pour with con mit avec com
""")
