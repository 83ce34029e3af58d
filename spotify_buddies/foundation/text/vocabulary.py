"""What versions of a song are called in titles, in the languages that the catalogues of music stores are written in.

All words are folded (foundation.text.folding): lower case, without accents.
"""

from __future__ import annotations

from spotify_buddies.foundation.text.languages import SYNONYMS

# Written for a remaster, whatever follows the stem: remastered, remasterizado, remasterisé, rimasterizzato, remastrad.
REMASTER = (
    r"(?:re|ri)[- ]?mast(?:er|r)[^\W\d_]*\.?|\bremast\b\.?|ремастер[^\W\d_]*|ремастир[^\W\d_]*|リマスタ[ーリング]*版?"
    r"|리마스터[^\W\d_]*|(?:数码)?重[制製]版?|ریمستر[^\W\d_]*|ريماستر[^\W\d_]*|רימ?סטר[^\W\d_]*|רימאסטר[^\W\d_]*"
    r"|รีมาสเตอร์|रीमास्टर[^\W\d_]*"
)
VERSION = frozenset(
    "version versions ver vers versao versio versie versiyon versiyonu versija versione versioon wersja verzia verze "
    "verzija versiune versiunea verzio utgave utgava utgavan udgave fassung bersyon версия версии εκδοχη "
    "バージョン ヴァージョン 버전 版 版本 เวอร์ชัน เวอร์ชั่น संस्करण نسخة גרסה גרסת".split()
)
ARTICLES = frozenset("the a an la el le les los las lo il de del du di da do der die das den des of et y and".split())

# A segment of these words alone names no other recording: it tells where the song was issued, that it was cut for the
# radio or a single, mixed to one channel or two, or made fit for children. One word must be of ISSUE_MARKS, or two a pair.
ISSUE_MARKS = VERSION | frozenset(
    "album albumi albumu albumowa lp ep single original originale originala originell originalni oryginalna orijinal "
    "explicit clean dirty mono stereo edited edit nonalbum bside editado editada singolo sencillo singlowa сингл альбом "
    "альбомная оригинальная оригинал アルバム シングル オリジナル 앨범 싱글 오리지널 原版 原曲 专辑 專輯 单曲 單曲 אלבום ألبوم".split()
)
ISSUE = (
    ISSUE_MARKS
    | ARTICLES
    | frozenset(
        "main radio studio standard regular official full short 7in 45rpm digital track tema song cancion radiowa uncut "
        "радио ラジオ 라디오 uncensored censored commercial taglio lied titre chanson non".split()
    )
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
EDITIONS = frozenset(
    "bonus bonustrack deluxe soundtrack ost sonora ボーナストラック 보너스 サウンドトラック サントラ 主題歌 主题曲 主題曲 саундтрек "
    "colonna filmmusik".split()
)
# An edition that only these words describe is one, too; "Kaytranada Edition" is a remix.
EDITION = frozenset("edition edicion edicao edizione editie ausgabe reissue издание".split())
EDITION_KINDS = (
    ISSUE
    | EDITIONS
    | EDITION
    | frozenset("special expanded anniversary limited collectors collector legacy super premium extra platinum gold".split())
)
# A title of these alone is told from others by its film.
TITLES_OF_FILMS = frozenset(
    "theme maintheme maintitle maintitles overture endcredits endtitle endtitles lovetheme suite prologue epilogue finale medley "
    "opening openingcredits openingtitles score intro outro themesong titletheme themefrom ending".split()
)
FILM_WORDS = frozenset("soundtrack motion picture film movie filme filmu series musical ost tv television фильма".split())
FROM_FILM = r"from|theme from|love theme from|music from|as heard in|featured in|aus dem film|aus|du film|dal film|de la pelicula|do filme|из|z filmu|映画"

LANGUAGES = frozenset("spanish english french italian german portuguese japanese korean".split())
# A segment that begins or ends with one of these names another recording: all that it says stays in the key.
MARKERS = frozenset(SYNONYMS.values()) | frozenset(
    "bootleg mashup refix flip vip edit 12in nightcore reverb piano symphonic reprise strings take outtake rehearsal medley "
    "remake stripped mixtape mixed reimagined revisited parody sessions".split()
)
# Those of them that a segment may begin with, and go on with whatever it is ("remix by ..", "demo from ..").
HEADS = frozenset(
    "live remix acoustic karaoke instrumental demo acapella rerecorded spedup slowed nightcore unplugged cover tribute".split()
)
# Those that may follow a featured name without anything between.
AFTER_A_NAME = HEADS | frozenset("mix dub bootleg mashup rework reedit refix extended edit".split())
# Those that have a maker: with a featured name before them, it may be the maker's.
MADE = frozenset("remix mix dub bootleg mashup rework reedit refix edit".split())
# Words around a marker that are not part of its name.
AROUND = VERSION | frozenset(
    "the and album single lp ep explicit clean official edited bonus track recording recorded performance tema cancion mono "
    "stereo soundtrack".split()
)
PLACES = frozenset(
    "a at in on from by of en desde no na em au aux dal dalla dallo del de do da la le el los las im aus dem and y et e в "
    "из на с".split()
)

FEATURING = (
    r"(?:feat|feats|ft|featuring|feature|featured|con la participacion(?: especial)? de|con la colaboracion de"
    r"|participacao(?: especial)?(?: de)?|part\.? ?esp\.?(?: de)?|invitad[oa]s?|(?:duet|duett|duetto|dueto|duo) "
    r"(?:with|mit|con|com|avec)|a duo con|en duo avec|при участии|при уч\.?|уч\.|фит|фт\.|피처링|피쳐링|フィーチャリング"
    r"|z udzialem|goscinnie|gosc\.?|ฟีท|फीट|with special guests?|together with|zusammen mit|junto a|junto com|合作)"
)
WITH = r"(?:with|w/|f/|con|avec|mit|com|med|met|cu|vs\.?|versus|مع)"
# A segment that begins with "with" and goes on like this is part of the title, or tells of instruments.
NOT_GUESTS_AT_END = frozenset("beats strings lyrics vocals vocal orchestra intro outro drums accompaniment choir band".split())
NOT_GUESTS = frozenset(
    "a an my your her his our their me you us him them it love no this that these those all or out every some "
    "mi tu su ti ella ellos usted amor un una el la los las lo todo banda mariachi tololoche orquesta tambora norteno "
    "guitarra sabor alma ganas permiso toi moi elle lui vous nous une mon ton son ma ta sa mes tes le les dir mir ihm ihr "
    "ihnen uns euch dem der den einem einer meinem deinem meiner deiner orchester chor voce voces ela ele o os as meu minha "
    "seu sua dig mig dej mej deg meg dem oss jou je mij ons hem haar een de het mijn tine mine orchestra strings piano choir "
    "lyrics intro vocals vocal drums guitar violin rap reverb".split()
)
