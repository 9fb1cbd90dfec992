"""Published data is read from a folder that the user names."""

import re

import pytest

from seqlab.data import babi_data, ewt_data, mr_data, multi30k_data, ptb_data, splice_data, wnut17_data
from seqlab.errors import InputError

READS = {
    ptb_data: "data=ptb reads ptb/ptb.{train,valid,test}.txt.gz",
    mr_data: "data=mr reads mr/rt-polarity.{neg,pos}",
    ewt_data: "data=ewt_pos reads ud_english_ewt/en_ewt-ud-{train,dev,test}.conllu.gz",
    wnut17_data: "data=wnut17 reads wnut17/{wnut17train.conll,emerging.dev.conll,emerging.test.annotated}",
    multi30k_data: "data=multi30k reads multi30k/{train,val,test_2016_flickr}.{de,en}.gz",
    splice_data: "data=splice reads dna/splice.arff.gz",
    babi_data: "data=babi reads babi_en_1k/qa1_*_{train,test}.txt",
}


@pytest.mark.parametrize("make", READS, ids=lambda make: make.__name__)
def test_without_its_folder_published_data_names_what_it_reads_and_how_to_give_it(make):
    mend = "set the environment variable SEQLAB_DATA, or give data.root=FOLDER"
    with pytest.raises(InputError, match=re.escape(f"{READS[make]} in a folder that is not named: {mend}") + "$"):
        make()
